//! An address is served while any node could serve it (promise P1).

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::world::World;

#[derive(Debug)]
pub(super) struct Availability {
    /// The longest outage so far.
    pub(super) longest: Duration,
    unserved_since: BTreeMap<IpAddr, Instant>,
}

impl Availability {
    pub(super) const fn new() -> Self {
        Self {
            longest: Duration::ZERO,
            unserved_since: BTreeMap::new(),
        }
    }

    /// Returns what is wrong: an outage longer than `limit`, which also counts from `quiet_since`.
    pub(super) fn check(&mut self, world: &World, limit: Duration, quiet_since: Instant) -> Vec<String> {
        let now = world.now;
        let can_be_served = (0..world.nodes.len()).any(|index| world.is_well(index));
        self.unserved_since
            .retain(|address, _| world.snapshot.addresses.contains_key(address));
        let mut wrong = Vec::new();
        for address in world.snapshot.addresses.keys() {
            let neighbour = world.client.neighbours.get(address);
            let is_served = neighbour.is_some_and(|mac| world.serves(*mac));
            if is_served || !can_be_served {
                self.unserved_since.remove(address);
                continue;
            }
            let since = self.unserved_since.entry(*address).or_insert(now);
            let outage = now.saturating_duration_since(*since);
            self.longest = self.longest.max(outage);
            if outage > limit && now.saturating_duration_since(quiet_since) > limit {
                let target = neighbour.map_or_else(|| "nobody".to_owned(), ToString::to_string);
                wrong.push(format!(
                    "{address} has had no service for {outage:?}; the client sends to {target}"
                ));
                *since = now;
            }
        }
        wrong
    }
}
