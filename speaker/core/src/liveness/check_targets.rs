//! What a reachability check asks for, and whose answers count.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Liveness,
    reachability::SegmentTargets,
    segments::Facing,
    view::{Surroundings, is_link_local},
};
use crate::{
    context::Turn,
    types::{InterfaceIndex, NodeName},
    wire::message::Network,
};

/// What to check: for each node the addresses in doubt, by the node's interface that announces
/// them.
pub(crate) type CheckTargets = BTreeMap<NodeName, BTreeMap<String, BTreeSet<IpAddr>>>;

impl SegmentTargets {
    /// Checks a port of the node.
    fn add_network(&mut self, network: &Network) {
        self.own.extend(own_address(network));
        self.macs.insert(network.mac);
    }
}

impl Liveness {
    /// What to ask for, by own interface. `None`: no interface faces the node.
    pub(super) fn segment_targets(
        &self,
        turn: &Turn<'_>,
        around: Surroundings<'_>,
        node: &NodeName,
        by_interface: &BTreeMap<String, BTreeSet<IpAddr>>,
    ) -> BTreeMap<Option<InterfaceIndex>, SegmentTargets> {
        let interfaces = by_interface.keys().cloned().collect();
        let mut wanted: BTreeMap<Option<InterfaceIndex>, SegmentTargets> = BTreeMap::new();
        let view = self.view(turn.now, turn.context, around);
        let all = view.facing(node, &interfaces);
        let addresses: BTreeSet<IpAddr> = by_interface.values().flatten().copied().collect();
        for (port, network) in &all {
            let in_doubt = by_interface.get(&network.interface).into_iter().flatten();
            let targets = wanted.entry(Some(port.index)).or_default();
            targets.owned.extend(in_doubt);
            if addresses.is_empty() {
                targets.add_network(network);
            }
        }
        for address in addresses {
            let is_announced = |(_, network): &Facing<'_>| {
                let in_doubt = by_interface.get(&network.interface);
                in_doubt.is_some_and(|in_doubt| in_doubt.contains(&address))
            };
            let announced = all.iter().copied().filter(is_announced).collect();
            for (port, network) in view.one_network_per_port(node, address, announced) {
                wanted.entry(Some(port.index)).or_default().add_network(network);
            }
        }
        if wanted.is_empty() {
            wanted.insert(None, SegmentTargets::default());
        }
        wanted
    }
}

/// The address of a node that a request asks for.
pub(super) fn own_address(network: &Network) -> Option<IpAddr> {
    let addresses = || network.addresses.iter().map(ipnet::IpNet::addr);
    addresses()
        .find(IpAddr::is_ipv4)
        .or_else(|| addresses().find(|address| !is_link_local(*address)))
        .or_else(|| addresses().next())
}
