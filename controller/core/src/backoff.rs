//! How long to wait before an operation that failed is tried again.

use std::time::Duration;

/// Waits that double with each failure, up to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// The wait after the first failure.
    pub(crate) first: Duration,
    /// The longest wait.
    pub(crate) max: Duration,
}

impl Backoff {
    /// The wait after `failures` failures in a row. The first failure counts as one.
    pub(crate) fn after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(10);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit() {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            max: Duration::from_secs(30),
        };
        let waits = [0, 1, 2, 3, 20].map(|failures| backoff.after(failures).as_millis());
        assert_eq!(waits, [100, 100, 200, 400, 30_000]);
        assert_eq!(backoff.after(u32::MAX), backoff.max);
    }
}
