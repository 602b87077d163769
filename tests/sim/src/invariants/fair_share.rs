//! After a cold start, no node owns more than its fair share of the addresses, or than before.

use std::collections::BTreeMap;

use crate::world::World;

/// Returns what is wrong: nodes with more addresses than their fair share and than `before`, the
/// number that each had before the start.
pub(super) fn check(world: &World, before: &BTreeMap<usize, usize>) -> Vec<String> {
    let addresses = world.snapshot.addresses.keys();
    let mut owned: BTreeMap<usize, usize> = BTreeMap::new();
    for mac in addresses.flat_map(|address| world.responders(*address)) {
        if let Some(node) = world.node_with_mac(mac) {
            *owned.entry(node).or_default() += 1;
        }
    }
    let fair_share = world.snapshot.addresses.len().div_ceil(world.nodes.len());
    let limit = |node: &usize| before.get(node).copied().unwrap_or_default().max(fair_share);
    let too_many = owned.into_iter().filter(|(node, count)| *count > limit(node));
    too_many
        .map(|(node, count)| {
            let name = &world.nodes[node].name;
            format!("{name} owns {count} addresses after a cold start; its fair share is {fair_share}")
        })
        .collect()
}
