//! Speakers do not flood each other, whatever fails.

use std::time::{Duration, Instant};

use crate::world::World;

/// Interval between two counts.
const INTERVAL: Duration = Duration::from_secs(1);

/// Packets per node and second that are too many, in a cluster of any size.
const BASE_LIMIT: u64 = 600;

/// Addition to the limit for each node of the cluster.
const LIMIT_PER_NODE: u64 = 120;

#[derive(Debug)]
pub(super) struct PacketCount {
    /// The most packets of one node in one interval so far.
    pub(super) max: u64,
    counted_at: Instant,
    /// Packets of each node until then.
    totals: Vec<u64>,
}

impl PacketCount {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            max: 0,
            counted_at: now,
            totals: Vec::new(),
        }
    }

    /// Returns what is wrong: nodes with more packets than the limit since the last count.
    pub(super) fn check(&mut self, world: &World) -> Vec<String> {
        if world.now < self.counted_at + INTERVAL {
            return Vec::new();
        }
        self.counted_at = world.now;
        let totals: Vec<u64> = world.nodes.iter().map(|node| node.sent + node.received).collect();
        let before = std::mem::replace(&mut self.totals, totals);
        let nodes = u64::try_from(world.nodes.len()).unwrap_or(u64::MAX);
        let limit = BASE_LIMIT + LIMIT_PER_NODE * nodes;
        let mut wrong = Vec::new();
        // The first count has nothing to compare with.
        for (node, (total, before)) in world.nodes.iter().zip(self.totals.iter().zip(before)) {
            let packets = total - before;
            self.max = self.max.max(packets);
            if packets > limit {
                wrong.push(format!(
                    "{} sent and received {packets} packets in one second",
                    node.name
                ));
            }
        }
        wrong
    }
}
