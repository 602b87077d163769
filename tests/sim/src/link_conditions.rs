//! What a network does to the packets that it carries.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};

/// The least time that a packet takes, in microseconds.
const MIN_LATENCY: u64 = 100;

/// Loss, latency and duplication of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkConditions {
    /// The share of packets that are lost, from 0 to 1.
    pub loss: f64,
    /// How long a burst of loss lasts. Every packet is lost during a burst.
    pub burst: Duration,
    /// The probability that a packet starts a burst, from 0 to 1.
    pub burst_chance: f64,
    /// The largest addition to the least latency. It can reorder packets.
    pub jitter: Duration,
    /// The share of packets that arrive twice, from 0 to 1.
    pub duplicates: f64,
}

impl LinkConditions {
    /// Returns the latency of each copy of a packet that arrives: none, one or two.
    pub(crate) fn arrivals(&self, random: &mut StdRng) -> Vec<Duration> {
        let mut arrivals = Vec::new();
        if self.loss > 0.0 && random.random_bool(self.loss) {
            return arrivals;
        }
        let mut latency = || {
            let jitter = u64::try_from(self.jitter.as_micros()).unwrap_or_default();
            Duration::from_micros(MIN_LATENCY + random.random_range(0..=jitter))
        };
        arrivals.push(latency());
        let second = latency();
        if self.duplicates > 0.0 && random.random_bool(self.duplicates) {
            arrivals.push(second);
        }
        arrivals
    }
}
