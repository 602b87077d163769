//! What a node sees of its peers from where it stands: the peers, with its own interfaces and what
//! it hears on the LAN.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    Liveness,
    peers::{NetworkNames, Path, Peers, Phase},
};
use crate::{
    context::Context,
    lan::{heard_macs::HeardMacs, neighbours::Neighbours},
    node::{NodeState, interface::InterfacePort},
    types::{InterfaceIndex, NodeName},
    wire::message::Network,
};

/// What surrounds this node: its interfaces, and what is heard on them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) node: &'a NodeState,
    pub(crate) neighbours: &'a Neighbours,
    pub(crate) heard_macs: &'a HeardMacs,
}

/// The peers, as this node sees them now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) now: Instant,
    pub(crate) context: &'a Context,
    pub(crate) around: Surroundings<'a>,
    pub(crate) liveness: &'a Liveness,
}

impl<'a> View<'a> {
    pub(crate) const fn peers(&self) -> &'a Peers {
        &self.liveness.peers
    }

    /// The period of anti-entropy.
    pub(crate) fn cycle(&self) -> Duration {
        self.liveness.cycle()
    }

    /// Whether a node is this one, or an alive peer.
    pub(crate) fn is_heard(&self, node: &NodeName) -> bool {
        *node == self.context.me || self.peers().is_heard(node, self.now)
    }

    /// Whether no speaker is heard although other nodes are ready.
    pub(crate) fn hears_nobody(&self) -> bool {
        // A peer that only heartbeats come from has said nothing.
        if self.peers().available_networks(self.now).next().is_some() {
            return false;
        }
        let mut nodes = self.context.snapshot.iter().flat_map(|snapshot| &snapshot.nodes);
        nodes.any(|(name, node)| *name != self.context.me && !node.not_ready)
    }

    /// The networks of every node that can take an address, this one included.
    pub(crate) fn networks(&self) -> BTreeMap<NodeName, Vec<Network>> {
        let peers = self.peers().available_networks(self.now);
        let peers = peers.map(|(node, networks)| (node.clone(), networks.clone()));
        peers
            .chain([(self.context.me.clone(), self.around.node.networks())])
            .collect()
    }

    /// Whether a network of `node` holds its InternalIP.
    pub(crate) fn is_node_network(&self, node: &NodeName, network: &Network) -> bool {
        let snapshot = self.context.snapshot.as_ref();
        let internal = snapshot.and_then(|snapshot| snapshot.node_address(node));
        network.addresses.iter().any(|address| Some(address.addr()) == internal)
    }

    /// The path of a message from this source address.
    pub(crate) fn path(&self, from: &NodeName, source: IpAddr) -> Path {
        let snapshot = self.context.snapshot.as_ref();
        if snapshot.and_then(|snapshot| snapshot.node_address(from)) == Some(source) {
            return Path::Node;
        }
        let mut networks = self.peers().networks_of(from).iter();
        let network = networks.find(|network| network.addresses.iter().any(|address| address.addr() == source));
        network.map_or(Path::Node, |network| self.path_to(from, network).unwrap_or(Path::Other))
    }

    /// The path that leads to a network of a peer, if this node shares it.
    pub(crate) fn path_to(&self, node: &NodeName, network: &Network) -> Option<Path> {
        if self.is_node_network(node, network) {
            return Some(Path::Node);
        }
        let pairs = self.pairs(node);
        let ports = pairs
            .iter()
            .filter(|(_, other)| *other == network)
            .map(|(port, _)| port);
        // A second port of the peer on the node network.
        let leads_to_node_network = |port: &InterfacePort| {
            let mut there = pairs.iter().filter(|(other, _)| other == port);
            there.any(|(_, other)| self.is_node_network(node, other))
        };
        let mut ports = ports.peekable();
        let first = ports.peek().map(|port| Path::Segment(port.index));
        if ports.any(leads_to_node_network) {
            Some(Path::Node)
        } else {
            first
        }
    }

    /// The addresses of a peer for heartbeats on the segments that this node shares with it: one
    /// for each own interface there. The node network is not among them.
    pub(crate) fn segment_addresses(&self, node: &NodeName) -> BTreeMap<InterfaceIndex, IpAddr> {
        let mut addresses = BTreeMap::new();
        for (port, network) in self.pairs(node) {
            if self.path_to(node, network) != Some(Path::Segment(port.index)) {
                continue;
            }
            let ours = self.around.node.addresses_on(port.index);
            let theirs = network.addresses.iter().map(ipnet::IpNet::addr);
            let mut theirs = theirs.filter(|address| !is_link_local(*address));
            let shared = theirs.find(|address| ours.iter().any(|prefix| prefix.contains(address)));
            if let Some(address) = shared {
                addresses.entry(port.index).or_insert(address);
            }
        }
        addresses
    }

    /// The phase of a peer where it announces on these of its interfaces: it has failed there if it
    /// has failed on one of them.
    pub(crate) fn phase_for(&self, interfaces: &BTreeSet<String>, node: &NodeName) -> Option<Phase> {
        let networks = self.peers().networks_of(node).iter();
        let announcing = networks.filter(|network| interfaces.contains(&network.interface));
        let phases = announcing.filter_map(|network| self.network_phase(node, network));
        // mutation: failed-only-if-failed-everywhere
        phases
            .reduce(Phase::worst)
            .or_else(|| self.peers().phase(node, self.now))
    }

    /// The phase of a peer on one of its networks. Where nothing is known of that network, its
    /// phase on all paths.
    pub(crate) fn network_phase(&self, node: &NodeName, network: &Network) -> Option<Phase> {
        let path = self.path_to(node, network);
        self.peers().network_phase(node, self.now, path, &network.interface)
    }

    /// The networks of each available peer on which it has failed. It cannot take the addresses
    /// that it would announce there.
    pub(crate) fn failed_networks(&self) -> BTreeMap<NodeName, NetworkNames> {
        let nodes = self.peers().nodes();
        let in_doubt = nodes.filter(|node| {
            self.peers().has_failed_somewhere(node, self.now) && self.peers().is_available(node, self.now)
        });
        let failed = in_doubt.map(|node| (node.clone(), self.failed_networks_of(node)));
        failed.filter(|(_, networks)| !networks.is_empty()).collect()
    }

    /// The networks of a peer on which it has failed.
    pub(crate) fn failed_networks_of(&self, node: &NodeName) -> NetworkNames {
        let networks = self.peers().networks_of(node).iter();
        let has_failed = |network: &&Network| self.network_phase(node, network).is_some_and(Phase::is_failed);
        let failed = networks.filter(has_failed);
        failed.map(|network| network.interface.clone()).collect()
    }

    /// The networks of a peer other than the node network.
    pub(crate) fn networks_beside_node_network(&self, node: &NodeName) -> NetworkNames {
        let networks = self.peers().networks_of(node).iter();
        let others = networks.filter(|network| !self.is_node_network(node, network));
        others.map(|network| network.interface.clone()).collect()
    }

    /// Which of these networks of `node` can have failed, as `reporter` says. Where this node hears
    /// `node`, it has not failed. Where the reporter itself has failed, it is cut off and cannot
    /// know.
    pub(crate) fn credible(&self, reporter: &NodeName, node: &NodeName, networks: NetworkNames) -> NetworkNames {
        let is_credible = |name: &String| {
            let mut known = self.peers().networks_of(node).iter();
            let Some(network) = known.find(|network| network.interface == *name) else {
                return false;
            };
            let path = self.path_to(node, network);
            let here = path.and_then(|path| self.peers().phase_on(node, self.now, path));
            let reporter_there = path.and_then(|path| self.peers().phase_on(reporter, self.now, path));
            here != Some(Phase::Alive) && !reporter_there.is_some_and(Phase::is_failed)
        };
        networks.into_iter().filter(is_credible).collect()
    }
}

/// Whether an address is link-local, and so says nothing about which link it is on.
pub(crate) const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
