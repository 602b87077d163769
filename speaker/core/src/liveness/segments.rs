//! Which own interface shares a segment with which interface of a peer.
//!
//! Only a frame that was heard proves it. Equal prefixes and equal names are hints: they say where
//! to ask first, and they have to do where nothing was heard at all.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use super::view::{View, is_link_local};
use crate::{
    node::interface::{Interface, InterfacePort},
    types::{InterfaceIndex, NodeName},
    wire::message::Network,
};

/// An own port, and a network of a peer that it faces.
pub(crate) type Facing<'a> = (InterfacePort, &'a Network);

impl<'a> View<'a> {
    /// Own ports that share a segment with a network of a peer, as frames have proved.
    pub(crate) fn pairs(&self, node: &NodeName) -> Vec<Facing<'a>> {
        let theirs = self.peers().networks_of(node);
        let mut pairs = Vec::new();
        for (interface, port) in self.ports() {
            let is_heard = |network: &Network| self.around.heard_macs.contains(port.index, network.mac);
            for network in theirs.iter().filter(|network| is_heard(network)) {
                // The VLAN interfaces of one device have one MAC: then the hints decide among them.
                let is_twin = |other: &&Network| other.mac == network.mac;
                let is_alone = theirs.iter().filter(is_twin).nth(1).is_none();
                let hinted = || hinted(&interface.name, &interface.addresses, theirs.iter().filter(is_twin));
                if is_alone || hinted().is_none_or(|hinted| hinted == network) {
                    pairs.push((port, network));
                }
            }
        }
        pairs
    }

    /// Own ports that may share a segment with a network of a peer. They have a common prefix;
    /// where none has, the name of the interface.
    pub(crate) fn hints(&self, node: &NodeName) -> Vec<Facing<'a>> {
        let theirs = self.peers().networks_of(node);
        let hinted = |(interface, port): (&Interface, InterfacePort)| {
            Some((port, hinted(&interface.name, &interface.addresses, theirs.iter())?))
        };
        self.ports().filter_map(hinted).collect()
    }

    /// Own ports that face one of these interfaces of a peer: those that were proved. Where nothing
    /// proves any, the hints.
    pub(crate) fn facing(&self, node: &NodeName, interfaces: &BTreeSet<String>) -> Vec<Facing<'a>> {
        let is_one = |(_, network): &Facing<'_>| interfaces.contains(&network.interface);
        // mutation: interfaces-paired-by-name
        let mut facing: Vec<_> = self.pairs(node).into_iter().filter(is_one).collect();
        if facing.is_empty() {
            facing = self.hints(node).into_iter().filter(is_one).collect();
        }
        facing
    }

    /// Own ports and networks of a peer between which a question may be answered.
    pub(crate) fn askable(&self, node: &NodeName) -> Vec<Facing<'a>> {
        let mut facing = self.pairs(node);
        for hint in self.hints(node) {
            if !facing.contains(&hint) {
                facing.push(hint);
            }
        }
        facing
    }

    /// Whether `node`, which may be this one, has an interface that faces one of these interfaces
    /// of `peer`. This node knows it of others where it hears both on one interface. Otherwise it
    /// goes by the hints.
    pub(crate) fn faces(&self, node: &NodeName, peer: &NodeName, interfaces: &BTreeSet<String>) -> bool {
        let facing = self.facing(peer, interfaces);
        if *node == self.context.me {
            return !facing.is_empty();
        }
        let is_one = |network: &Network| interfaces.contains(&network.interface);
        let pairs = self.pairs(node);
        if pairs
            .iter()
            .any(|(port, _)| facing.iter().any(|(other, _)| other == port))
        {
            return true;
        }
        let theirs = self.peers().networks_of(peer);
        let mut networks = self.peers().networks_of(node).iter();
        pairs.is_empty()
            && networks.any(|ours| hinted(&ours.interface, &ours.addresses, theirs.iter()).is_some_and(is_one))
    }

    /// The interfaces on which a peer sends ARP broadcasts that this node should hear: where it has
    /// heard the peer, and on the node network.
    pub(crate) fn broadcast_interfaces(&self, node: &NodeName) -> BTreeSet<InterfaceIndex> {
        let hints = self.hints(node).into_iter();
        let node_network = hints.filter(|(port, network)| {
            let internal = network.addresses.iter().find(|_| self.is_node_network(node, network));
            let ours = self.around.node.addresses_on(port.index);
            internal.is_some_and(|internal| ours.iter().any(|prefix| prefix.contains(&internal.addr())))
        });
        let facing = self.pairs(node).into_iter().chain(node_network);
        let has_ipv4 = |network: &Network| network.addresses.iter().any(|address| address.addr().is_ipv4());
        let with_ipv4 = facing.filter(|(_, network)| has_ipv4(network));
        with_ipv4.map(|(port, _)| port.index).collect()
    }

    /// Of own ports that share a segment, as this node hears its own broadcasts, the first: two
    /// MACs must not answer. A port with the InternalIP comes before others, and then the lowest
    /// index. So it is always the same while it has a carrier.
    pub(crate) fn one_per_segment(&self, mut ports: Vec<InterfacePort>) -> Vec<InterfacePort> {
        let snapshot = self.context.snapshot.as_ref();
        let internal = snapshot.and_then(|snapshot| snapshot.node_address(&self.context.me));
        let has_internal = |port: &InterfacePort| {
            let mut addresses = self.around.node.addresses_on(port.index).iter();
            addresses.any(|address| Some(address.addr()) == internal)
        };
        ports.sort_by_key(|port| (!has_internal(port), port.index));
        let hears = |one: &InterfacePort, other: &InterfacePort| {
            one.mac != other.mac && self.around.heard_macs.contains(one.index, other.mac)
        };
        let mut kept: Vec<InterfacePort> = Vec::new();
        for port in ports {
            // mutation: second-port-announces-too
            let is_second = kept.iter().any(|first| hears(first, &port) || hears(&port, first));
            if !is_second {
                kept.push(port);
            }
        }
        kept.sort_by_key(|port| port.index);
        kept
    }

    /// The network on which a peer announces an address, for each own port. Of several networks of
    /// the peer on one segment it is the one whose MAC the peer used last. Until the peer was
    /// heard, it is the first by the order of [`Self::one_per_segment`]. A Hello lists networks by
    /// index.
    pub(crate) fn one_network_per_port(
        &self,
        node: &NodeName,
        address: IpAddr,
        mut facing: Vec<Facing<'a>>,
    ) -> Vec<Facing<'a>> {
        let macs = self.around.heard_macs;
        facing.sort_by_key(|(port, network)| {
            // mutation: deputy-uses-the-first-port
            let is_used = macs.of_owner(port.index, address) == Some(network.mac);
            (port.index, !is_used, !self.is_node_network(node, network))
        });
        facing.dedup_by_key(|(port, _)| port.index);
        facing
    }

    fn ports(&self) -> impl Iterator<Item = (&'a Interface, InterfacePort)> {
        let interfaces = self.around.node.announcing_interfaces();
        interfaces.filter_map(|interface| Some((interface, interface.port()?)))
    }
}

/// The network of a peer that an interface with this name and these addresses may face.
fn hinted<'a>(
    name: &str,
    addresses: &[IpNet],
    theirs: impl Iterator<Item = &'a Network> + Clone,
) -> Option<&'a Network> {
    let shares_prefix = |network: &&Network| {
        network.addresses.iter().any(|address| {
            !is_link_local(address.addr()) && addresses.iter().any(|ours| ours.contains(&address.addr()))
        })
    };
    let by_prefix = theirs.clone().find(shares_prefix);
    by_prefix.or_else(|| theirs.clone().find(|network| network.interface == name))
}
