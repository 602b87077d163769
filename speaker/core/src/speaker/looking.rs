//! Looking at the node itself: what is wrong with it, such that announcing does not help.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{Output, Speaker};
use crate::core::preflight::problems;

/// An interface that has heard no broadcast for so long, while other nodes ask each other on it every ten seconds, hears none.
const DEAF: Duration = Duration::from_secs(60);

impl Speaker {
    /// Looks at the node, and says what is wrong with it if that has changed.
    pub(super) fn look_at_node(&mut self, now: Instant) {
        let expected: BTreeSet<u32> = self
            .peers
            .nodes()
            .filter(|node| self.peers.can_take(node, now))
            .flat_map(|node| self.facing_where_it_announces(node))
            .filter(|(_, network)| network.addresses.iter().any(|address| address.addr().is_ipv4()))
            .map(|(port, _)| port.index)
            .collect();
        self.neighbours.expect_broadcasts(now, &expected);
        let Some(interfaces) = &self.interfaces else { return };
        let deaf = self.neighbours.without_broadcast(now, DEAF);
        let deaf = interfaces.iter().filter(|interface| deaf.contains(&interface.index));
        let found = problems(interfaces, &self.kernel, deaf.map(|interface| interface.name.as_str()));
        if self.problems.as_ref() != Some(&found) {
            self.problems = Some(found.clone());
            self.outputs.push_back(Output::Problems(found));
        }
    }
}
