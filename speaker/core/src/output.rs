//! What a speaker asks its driver to do, and what it reports.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
};

use lodestone_crds::ObjectKey;

use crate::{
    event::Event,
    node_problem::NodeProblem,
    types::{BootId, InterfaceIndex, NodeName},
    wire::message::Message,
};

/// What a speaker asks its driver to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a message to the speaker of a node.
    Send {
        /// The node of the receiver, which is the only one that accepts the message.
        to: NodeName,
        /// The address that the message goes to.
        address: IpAddr,
        /// What to seal and send.
        message: Message,
    },
    /// Send a [`Message::Heartbeat`]. Heartbeats have sockets of their own, which learn that a port
    /// is unreachable.
    SendHeartbeat {
        /// The node of the receiver, which is the only one that accepts the heartbeat.
        to: NodeName,
        /// The address that the heartbeat goes to.
        address: IpAddr,
    },
    /// A peer remembers this boot id of an earlier run: use a higher one from now on.
    BootId(BootId),
    /// Send a frame.
    Frame {
        /// The interface on which the frame goes out.
        interface: InterfaceIndex,
        /// The whole Ethernet frame.
        frame: Vec<u8>,
    },
    /// Be a member of exactly these solicited-node groups, each on its interface.
    Groups(BTreeSet<(InterfaceIndex, Ipv6Addr)>),
    /// All addresses that this node announces from now on.
    OwnedAddresses(Vec<OwnedAddress>),
    /// Something happened that a user wants to know.
    Event(Event),
    /// All problems of the node itself, as they are now.
    Problems(BTreeSet<NodeProblem>),
}

/// An address that this node announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedAddress {
    /// The address that this node answers for.
    pub address: IpAddr,
    /// The Services on the address.
    pub services: Vec<ObjectKey>,
    /// The interfaces of the announcement, where advertisements restrict them.
    pub interfaces: Option<Vec<String>>,
    /// Other nodes that announce another address of one of the Services.
    pub co_owners: BTreeSet<NodeName>,
}

/// Where the speaker of one node is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Route {
    /// The InternalIP of the node, from the snapshot.
    internal: Option<IpAddr>,
    /// The address that the peer was last heard from on the node network.
    heard: Option<IpAddr>,
    /// The addresses on segments that both share, apart from the node network.
    segments: BTreeSet<IpAddr>,
    /// The peer, or this node, is cut off on some path: messages go over all paths.
    cut_off: bool,
}

impl Route {
    fn usual(&self) -> Option<IpAddr> {
        self.internal.or(self.heard)
    }
}

/// The queue of outputs, and the routes to all other speakers: parts address a node, the outbox
/// finds the way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Output>,
    routes: BTreeMap<NodeName, Route>,
}

impl Outbox {
    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(crate) fn push_event(&mut self, event: Event) {
        self.queue.push_back(Output::Event(event));
    }

    pub(crate) fn push_frame(&mut self, interface: InterfaceIndex, frame: Vec<u8>) {
        self.queue.push_back(Output::Frame { interface, frame });
    }

    /// Sends a message to one node. A node without a known address gets nothing.
    pub(crate) fn send(&mut self, node: &NodeName, message: Message) {
        let is_cut_off = self.routes.get(node).is_some_and(|route| route.cut_off);
        self.send_over(node, &message, is_cut_off);
    }

    fn send_over(&mut self, node: &NodeName, message: &Message, all_paths: bool) {
        let Some(route) = self.routes.get(node) else { return };
        let segments = route.segments.iter().copied().filter(|_| all_paths);
        for address in segments.chain(route.usual()) {
            self.queue.push_back(Output::Send {
                to: node.clone(),
                address,
                message: message.clone(),
            });
        }
    }

    /// Sends a heartbeat to one node, on every path.
    pub(crate) fn send_heartbeat(&mut self, node: &NodeName) {
        let Some(route) = self.routes.get(node) else { return };
        for address in route.usual().into_iter().chain(route.segments.iter().copied()) {
            self.queue.push_back(Output::SendHeartbeat {
                to: node.clone(),
                address,
            });
        }
    }

    /// Sends a message to every node of the cluster, also to nodes that were never heard: that is
    /// how a speaker is found.
    pub(crate) fn broadcast(&mut self, message: &Message) {
        let nodes: Vec<NodeName> = self.routes.keys().cloned().collect();
        for node in nodes {
            self.send(&node, message.clone());
        }
    }

    /// Sends a message to all peers over every path to each. It is for messages about the paths.
    pub(crate) fn broadcast_over_all_paths(&mut self, message: &Message) {
        let nodes: Vec<NodeName> = self.routes.keys().cloned().collect();
        for node in nodes {
            self.send_over(&node, message, true);
        }
    }

    /// The nodes that have a route: all others of the cluster, and all peers that were heard.
    pub(crate) fn destinations(&self) -> impl Iterator<Item = &NodeName> {
        self.routes.keys()
    }

    /// Replaces the set of destinations, each with its InternalIP if there is one.
    pub(crate) fn set_destinations(&mut self, internal: BTreeMap<NodeName, Option<IpAddr>>) {
        self.routes.retain(|node, _| internal.contains_key(node));
        for (node, internal) in internal {
            self.routes.entry(node).or_default().internal = internal;
        }
    }

    /// Records where a peer was heard from on the node network.
    pub(crate) fn set_heard_from(&mut self, node: &NodeName, address: IpAddr) {
        self.routes.entry(node.clone()).or_default().heard = Some(address);
    }

    /// Records the addresses of a peer on common segments.
    pub(crate) fn set_segments(&mut self, node: &NodeName, addresses: BTreeSet<IpAddr>) {
        if let Some(route) = self.routes.get_mut(node) {
            route.segments = addresses;
        }
    }

    /// Records which peers are not heard on some path.
    pub(crate) fn set_cut_off(&mut self, is_cut_off: impl Fn(&NodeName) -> bool) {
        for (node, route) in &mut self.routes {
            route.cut_off = is_cut_off(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An outbox that knows the InternalIP of `b`.
    fn outbox() -> Outbox {
        let mut outbox = Outbox::default();
        outbox.set_destinations([("b".into(), Some([10, 0, 0, 2].into())), ("c".into(), None)].into());
        outbox
    }

    /// The addresses that a message to a node goes to.
    fn addresses(outbox: &mut Outbox, node: &str) -> Vec<String> {
        outbox.send(&node.into(), Message::Listening);
        sent(outbox)
    }

    /// The addresses that a heartbeat to a node goes to.
    fn heartbeat_addresses(outbox: &mut Outbox, node: &str) -> Vec<String> {
        outbox.send_heartbeat(&node.into());
        sent(outbox)
    }

    fn sent(outbox: &mut Outbox) -> Vec<String> {
        let outputs = std::iter::from_fn(|| outbox.pop());
        let address = |output| match output {
            Output::Send { address, .. } | Output::SendHeartbeat { address, .. } => address.to_string(),
            other => panic!("{other:?}"),
        };
        outputs.map(address).collect()
    }

    #[test]
    fn internal_ip_comes_before_the_address_that_a_peer_was_heard_from() {
        let mut outbox = outbox();
        assert_eq!(addresses(&mut outbox, "c"), [""; 0], "nothing is known of it");
        for node in ["b", "c", "d"] {
            outbox.set_heard_from(&node.into(), [10, 0, 0, 99].into());
        }
        for (node, address) in [("b", "10.0.0.2"), ("c", "10.0.0.99"), ("d", "10.0.0.99")] {
            assert_eq!(addresses(&mut outbox, node), [address]);
            assert_eq!(heartbeat_addresses(&mut outbox, node), [address]);
        }
    }

    #[test]
    fn heartbeats_take_all_segments_and_messages_only_when_needed() {
        let mut outbox = outbox();
        let b: NodeName = "b".into();
        outbox.set_segments(&b, [[172, 16, 0, 2].into()].into());
        assert_eq!(addresses(&mut outbox, "b"), ["10.0.0.2"]);
        assert_eq!(heartbeat_addresses(&mut outbox, "b"), ["10.0.0.2", "172.16.0.2"]);
        outbox.set_cut_off(|node| *node == b);
        assert_eq!(addresses(&mut outbox, "b"), ["172.16.0.2", "10.0.0.2"]);
        outbox.set_cut_off(|_| false);
        outbox.broadcast_over_all_paths(&Message::Listening);
        assert_eq!(sent(&mut outbox), ["172.16.0.2", "10.0.0.2"]);
        outbox.set_segments(&b, BTreeSet::new());
        assert_eq!(heartbeat_addresses(&mut outbox, "b"), ["10.0.0.2"]);
    }

    #[test]
    fn broadcast_reaches_nodes_that_were_never_heard() {
        let mut outbox = outbox();
        outbox.set_heard_from(&"d".into(), [10, 0, 0, 4].into());
        outbox.broadcast(&Message::Listening);
        assert_eq!(sent(&mut outbox), ["10.0.0.2", "10.0.0.4"]);
    }

    #[test]
    fn new_destinations_replace_the_old_ones_but_keep_what_was_heard() {
        let mut outbox = outbox();
        outbox.set_heard_from(&"c".into(), [10, 0, 0, 3].into());
        outbox.set_destinations([("c".into(), None)].into());
        assert_eq!(addresses(&mut outbox, "b"), [""; 0]);
        assert_eq!(addresses(&mut outbox, "c"), ["10.0.0.3"]);
        assert_eq!(
            outbox.destinations().map(|node| node.as_str()).collect::<Vec<_>>(),
            ["c"]
        );
    }
}
