//! Only one MAC answers for an address, except briefly (promise P5).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use pnet_base::MacAddr;

use crate::world::World;

/// How long two MACs may answer for an address.
const MAX_OVERLAP: Duration = Duration::from_millis(250);

/// The same for nodes that exchange no messages: the five seconds of promise P5. They settle it by
/// what they hear on the wire. The judge looks every 50 ms, and so allows that much more. In this
/// time one of them asks, and the other one answers.
const MAX_OVERLAP_ON_THE_WIRE: Duration = Duration::from_secs(5);

/// Two MACs answer for an address.
#[derive(Debug)]
struct Overlap {
    since: Instant,
    /// How long it may last.
    limit: Duration,
}

#[derive(Debug)]
pub(super) struct SingleResponder {
    overlaps: BTreeMap<IpAddr, Overlap>,
}

impl SingleResponder {
    pub(super) const fn new() -> Self {
        Self {
            overlaps: BTreeMap::new(),
        }
    }

    /// Returns what is wrong: an overlap that is too long, also when it is counted from
    /// `quiet_since`.
    pub(super) fn check(&mut self, world: &World, quiet_since: Instant) -> Vec<String> {
        let now = world.now;
        self.overlaps
            .retain(|address, _| world.snapshot.addresses.contains_key(address));
        let mut wrong = Vec::new();
        for address in world.snapshot.addresses.keys() {
            let macs = world.responders(*address);
            if macs.len() < 2 {
                self.overlaps.remove(address);
                continue;
            }
            let limit = limit(world, &macs);
            let new = Overlap { since: now, limit };
            let overlap = self.overlaps.entry(*address).or_insert(new);
            // The limit counts from when they hear each other.
            if limit < overlap.limit {
                overlap.since = now;
            }
            overlap.limit = limit;
            let lasted = now.saturating_duration_since(overlap.since);
            if lasted > overlap.limit && now.saturating_duration_since(quiet_since) > overlap.limit {
                wrong.push(format!("{macs:?} have all answered for {address} for {lasted:?}"));
                overlap.since = now;
            }
        }
        wrong
    }
}

/// How long these MACs may all answer for an address.
fn limit(world: &World, macs: &BTreeSet<MacAddr>) -> Duration {
    let nodes: Vec<usize> = macs.iter().filter_map(|mac| world.node_with_mac(*mac)).collect();
    let first = nodes.first().copied().unwrap_or_default();
    if nodes.iter().all(|node| world.exchange_messages(first, *node)) {
        MAX_OVERLAP
    } else {
        MAX_OVERLAP_ON_THE_WIRE
    }
}
