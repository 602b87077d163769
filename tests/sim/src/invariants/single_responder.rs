//! Only one MAC answers for an address, except briefly (promise P5).

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::world::World;

/// How long two MACs may answer for an address.
const MAX_OVERLAP: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct SingleResponder {
    /// Whether the client has sent its first request.
    has_asked: bool,
    overlap_since: BTreeMap<IpAddr, Instant>,
}

impl SingleResponder {
    pub(super) const fn new() -> Self {
        Self {
            has_asked: false,
            overlap_since: BTreeMap::new(),
        }
    }

    /// Checks the answers to the client's last requests. Call this just before the next ones.
    ///
    /// Returns what is wrong: an overlap that is too long, also when it is counted from
    /// `quiet_since`.
    pub(super) fn check(&mut self, world: &World, quiet_since: Instant) -> Vec<String> {
        let now = world.now;
        let has_asked = std::mem::replace(&mut self.has_asked, true);
        let mut wrong = Vec::new();
        for address in world.snapshot.addresses.keys() {
            let answers = world.client.answers.get(address);
            let Some(macs) = answers.filter(|macs| has_asked && macs.len() > 1) else {
                self.overlap_since.remove(address);
                continue;
            };
            let since = self.overlap_since.entry(*address).or_insert(now);
            let overlap = now.saturating_duration_since(*since);
            if overlap > MAX_OVERLAP && now.saturating_duration_since(quiet_since) > MAX_OVERLAP {
                wrong.push(format!("{macs:?} have all answered for {address} for {overlap:?}"));
                *since = now;
            }
        }
        wrong
    }
}
