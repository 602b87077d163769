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
};
use crate::{
    context::Context,
    lan::{heard_macs::HeardMacs, neighbours::Neighbours},
    node::NodeState,
    types::NodeName,
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

    /// The address of a peer on a segment that both share, where that is not the node network.
    pub(crate) fn lan_address(&self, node: &NodeName) -> Option<IpAddr> {
        let pairs = self.pairs(node).into_iter();
        let mut pairs = pairs.filter(|(_, network)| !self.is_node_network(node, network));
        pairs.find_map(|(port, network)| {
            let ours = self.around.node.addresses_on(port.index);
            let theirs = network.addresses.iter().map(ipnet::IpNet::addr);
            let mut theirs = theirs.filter(|address| !is_link_local(*address));
            theirs.find(|address| ours.iter().any(|prefix| prefix.contains(address)))
        })
    }

    /// The phase of a peer on the path where it announces on these of its interfaces.
    pub(crate) fn phase_for(&self, interfaces: &BTreeSet<String>, node: &NodeName) -> Option<Phase> {
        let mut networks = self.peers().networks_of(node).iter();
        let on_lan =
            |network: &Network| interfaces.contains(&network.interface) && !self.is_node_network(node, network);
        let path = if interfaces.is_empty() || networks.any(on_lan) {
            Path::Lan
        } else {
            Path::Node
        };
        self.peers().phase_on(node, self.now, path)
    }

    /// The phase of a peer on the path that leads to one of its networks.
    pub(crate) fn network_phase(&self, node: &NodeName, network: &Network) -> Option<Phase> {
        let path = if self.is_node_network(node, network) {
            Path::Node
        } else {
            Path::Lan
        };
        self.peers().phase_on(node, self.now, path)
    }
}

/// Whether an address is link-local, and so says nothing about which link it is on.
pub(crate) const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
