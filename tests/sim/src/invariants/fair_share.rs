//! After a cold start, no node owns more than its fair share of the addresses.

use std::collections::BTreeMap;

use crate::world::World;

/// Returns what is wrong: nodes with more addresses than their fair share.
pub(super) fn check(world: &World) -> Vec<String> {
    let addresses = world.snapshot.addresses.keys();
    let mut owned: BTreeMap<usize, usize> = BTreeMap::new();
    for mac in addresses.flat_map(|address| world.responders(*address)) {
        if let Some(node) = world.node_with_mac(mac) {
            *owned.entry(node).or_default() += 1;
        }
    }
    let fair_share = world.snapshot.addresses.len().div_ceil(world.nodes.len());
    let too_many = owned.into_iter().filter(|(_, count)| *count > fair_share);
    too_many
        .map(|(node, count)| {
            let name = &world.nodes[node].name;
            format!("{name} owns {count} addresses after a cold start; its fair share is {fair_share}")
        })
        .collect()
}
