//! What a network does to what it carries.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};

/// How a network behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// How much is lost, from 0 to 1.
    pub loss: f64,
    /// For how long nothing arrives when a burst of loss begins, and how likely one begins with each packet.
    pub burst: Duration,
    /// See `burst`.
    pub burst_chance: f64,
    /// The most that the latency may vary: what is sent later may arrive earlier.
    pub jitter: Duration,
    /// How much arrives twice.
    pub duplicates: f64,
}

impl Weather {
    /// After what times a packet arrives: never, once, or more than once.
    pub fn arrivals(&self, random: &mut StdRng) -> Vec<Duration> {
        let mut arrivals = Vec::new();
        if self.loss > 0.0 && random.random_bool(self.loss) {
            return arrivals;
        }
        let mut latency = || {
            let jitter = u64::try_from(self.jitter.as_micros()).unwrap_or_default();
            Duration::from_micros(100 + random.random_range(0..=jitter))
        };
        arrivals.push(latency());
        let again = latency();
        if self.duplicates > 0.0 && random.random_bool(self.duplicates) {
            arrivals.push(again);
        }
        arrivals
    }
}
