//! What a node sees of its peers from where it stands: the peers, with its own interfaces and what
//! it hears on the LAN.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    Liveness,
    peers::{Path, Peers, Phase},
    reachability::Reachability,
};
use crate::{
    context::Context,
    lan::neighbours::Neighbours,
    node::{NodeState, interface::InterfacePort},
    types::NodeName,
    wire::message::Network,
};

/// How long a node that has never seen another host to ask assumes that the silence is its own
/// fault.
const ISOLATION_WITHOUT_HOSTS: Duration = Duration::from_secs(1);

/// How many watchers must declare a node failed that never answered a request.
const QUORUM: usize = 2;

/// What surrounds this node: its interfaces, and what is heard on them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) node: &'a NodeState,
    pub(crate) neighbours: &'a Neighbours,
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
        let internal = snapshot.and_then(|snapshot| snapshot.node_address(from));
        let networks = self.peers().networks_of(from).iter();
        let mut lans = networks.filter(|network| !self.is_node_network(from, network));
        let mut on_lan = || lans.any(|network| network.addresses.iter().any(|address| address.addr() == source));
        if internal != Some(source) && on_lan() {
            Path::Lan
        } else {
            Path::Node
        }
    }

    /// The address of a peer on a network that both announce on, where that is not the node
    /// network.
    pub(crate) fn lan_address(&self, node: &NodeName) -> Option<IpAddr> {
        let theirs = || {
            let networks = self.peers().networks_of(node).iter();
            let lans = networks.filter(|network| !self.is_node_network(node, network));
            lans.flat_map(|network| &network.addresses)
        };
        let interfaces = self.around.node.announcing_interfaces();
        let mut ours = interfaces.flat_map(|interface| &interface.addresses);
        ours.find_map(|ours| {
            let same = |theirs: &&ipnet::IpNet| !is_link_local(theirs.addr()) && ours.contains(&theirs.addr());
            theirs().find(same).map(ipnet::IpNet::addr)
        })
    }

    /// Own ports that face a network of a peer, each with that network. A common prefix pairs them;
    /// where no prefix does, the name of the interface.
    pub(crate) fn facing(&self, node: &NodeName) -> Vec<(InterfacePort, &'a Network)> {
        let theirs = self.peers().networks_of(node);
        let mut pairs = Vec::new();
        for interface in self.around.node.announcing_interfaces() {
            let found = paired(&interface.name, &interface.addresses, theirs);
            pairs.extend(interface.port().zip(found));
        }
        pairs
    }

    /// Whether `node`, which may be this one, has an interface that faces one of these interfaces
    /// of `peer`. Every node finds the same, from the Hellos of both.
    pub(crate) fn faces(&self, node: &NodeName, peer: &NodeName, interfaces: &BTreeSet<String>) -> bool {
        let is_one = |network: &Network| interfaces.contains(&network.interface);
        if *node == self.context.me {
            return self.facing(peer).into_iter().any(|(_, network)| is_one(network));
        }
        let theirs = self.peers().networks_of(peer);
        let mut networks = self.peers().networks_of(node).iter();
        networks.any(|ours| paired(&ours.interface, &ours.addresses, theirs).is_some_and(is_one))
    }

    /// The same without the node network, where the peer announces on another one.
    pub(crate) fn facing_on_lan(&self, node: &NodeName) -> Vec<(InterfacePort, &'a Network)> {
        let mut pairs = self.facing(node);
        // Whether this node watches the peer or not: in a large cluster the deputies do not.
        // mutation: check-over-node-network
        let has_lan = pairs.iter().any(|(_, network)| !self.is_node_network(node, network));
        if has_lan {
            pairs.retain(|(_, network)| !self.is_node_network(node, network));
        }
        pairs
    }

    /// The phase of a peer on the path where it announces `address`.
    pub(crate) fn phase_for(&self, address: IpAddr, node: &NodeName) -> Option<Phase> {
        let holds = |node_network: bool| {
            let networks = self.peers().networks_of(node).iter();
            let mut networks = networks.filter(|network| self.is_node_network(node, network) == node_network);
            networks.any(|network| network.addresses.iter().any(|prefix| prefix.contains(&address)))
        };
        let path = if holds(true) && !holds(false) {
            Path::Node
        } else {
            Path::Lan
        };
        self.peers().phase_on(node, self.now, path)
    }

    /// Whether nothing is heard where addresses are announced: then this node is the one cut off.
    pub(crate) fn is_isolated(&self) -> bool {
        let mut since: Option<Instant> = None;
        for node in self.peers().nodes() {
            if self.peers().networks_of(node).is_empty() || self.peers().leaving(node).is_some() {
                continue;
            }
            match self.peers().phase(node, self.now) {
                Some(Phase::Failed(from)) => since = Some(since.map_or(from, |since| since.max(from))),
                // Some paths have learned more patience than others: a suspect may be as silent as
                // the rest.
                Some(Phase::Suspect) => {}
                _ => return false,
            }
        }
        let Some(since) = since else { return false };
        // A failed peer had been silent for a while when it was declared failed.
        let facing = |node| self.facing_on_lan(node).into_iter().map(|(port, _)| port.index);
        let interfaces: BTreeSet<_> = self.peers().nodes().flat_map(facing).collect();
        let neighbours = self.around.neighbours;
        let heard = neighbours.is_any_heard_since(&interfaces, since);
        let nobody_to_ask = !neighbours.knows_hosts() && self.now >= since + ISOLATION_WITHOUT_HOSTS;
        !heard && !nobody_to_ask
    }

    /// The result of the reachability check of a node, if its silence means anything.
    pub(crate) fn reachability(&self, node: &NodeName) -> Reachability {
        let conclusion = self.peers().conclusion(node);
        let Some(check) = conclusion.and_then(|conclusion| conclusion.check.as_ref()) else {
            return Reachability::Undecided;
        };
        let answers = conclusion.is_some_and(|conclusion| conclusion.has_answered_requests);
        match check.result(self.peers().loss(node)) {
            Reachability::NodeDown if self.is_isolated() => Reachability::Undecided,
            // The node never answered a request, so its silence alone proves nothing: other
            // watchers must agree. Where all watchers have failed, nobody else can.
            Reachability::NodeDown if !answers && !self.peers().is_unwatched(node) => {
                let failed = |other: &NodeName| !self.is_heard(other);
                let watchers = self.liveness.ring.watchers(node, failed).into_iter();
                let wanted = watchers.filter(|other| !failed(other)).count().min(QUORUM);
                if self.peers().failure_reports(node, self.now) >= wanted {
                    Reachability::NodeDown
                } else {
                    Reachability::Undecided
                }
            }
            result => result,
        }
    }

    /// Whether this node checks another one on the wire.
    pub(crate) fn is_checked(&self, node: &NodeName) -> bool {
        self.peers()
            .conclusion(node)
            .is_some_and(|conclusion| conclusion.check.is_some())
    }

    /// Whether a node answers no reachability check, even where that does not prove anything yet.
    pub(crate) fn answers_no_check(&self, node: &NodeName) -> bool {
        let check = self
            .peers()
            .conclusion(node)
            .and_then(|conclusion| conclusion.check.as_ref());
        check.is_some_and(|check| check.result(self.peers().loss(node)) == Reachability::NodeDown)
    }
}

/// The network of a peer that an interface with this name and these addresses faces.
fn paired<'a>(name: &str, addresses: &[ipnet::IpNet], theirs: &'a [Network]) -> Option<&'a Network> {
    let shares_prefix = |network: &&Network| {
        network.addresses.iter().any(|address| {
            !is_link_local(address.addr()) && addresses.iter().any(|ours| ours.contains(&address.addr()))
        })
    };
    let by_prefix = theirs.iter().find(shares_prefix);
    by_prefix.or_else(|| theirs.iter().find(|network| network.interface == name))
}

/// Whether an address is link-local, and so says nothing about which link it is on.
pub(crate) const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
