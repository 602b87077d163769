//! Derives the timeouts of the failure detector from the observed loss and gaps of one path.
//!
//! A *path* leads from one peer to this node. A peer whose silence exceeds the first timeout is
//! suspect on that path; beyond the second timeout it has failed. Both timeouts grow with the
//! packet loss. The second one also grows with the longest recent gap between heartbeats.

use std::time::{Duration, Instant};

/// Interval between two heartbeats of a peer that this node watches.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(50);

/// Accepted probability that packet loss alone makes an alive peer failed.
const FALSE_FAILURE: f64 = 1e-6;

/// Accepted probability that packet loss alone makes an alive peer suspect, which costs little.
const FALSE_SUSPICION: f64 = 1e-2;

/// Upper limit of the extension of the failure timeout for long gaps. Promise P1 depends on it.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// The same limit on a lossy path, where a gap may combine loss with a stall of the node. Promise
/// P1 excludes that case.
const LONGEST_WAIT_WITH_LOSS: Duration = Duration::from_millis(600);

/// Long-term loss above which a path counts as lossy, from 0 to 1. A single gap stays below it.
const LOSSY: f64 = 0.02;

/// Length of one period of gap history. A gap is forgotten after six periods.
const GAP_PERIOD: Duration = Duration::from_secs(600);

/// Tolerance for jitter: how late a heartbeat may be before it counts as missing for suspicion.
const SLACK: Duration = Duration::from_millis(25);

/// The statistics of one path from a peer to this node, and the timeouts that follow from them.
#[derive(Clone, Debug)]
pub(crate) struct AdaptiveTimeout {
    /// When any message last arrived.
    heard: Instant,
    /// When a heartbeat last arrived.
    last_heartbeat: Instant,
    /// Moving average of the loss over about one second, from 0 to 1.
    short_term_loss: f64,
    /// Moving average of the loss over about twenty seconds, from 0 to 1.
    long_term_loss: f64,
    /// The longest gap between heartbeats in each of the last periods, the present period first.
    longest_gaps: [Duration; 6],
    /// When the present period began.
    period_start: Instant,
    /// Silence after which the peer is suspect. Cached at each heartbeat, because it is read far
    /// more often than that.
    suspect_after: Duration,
    /// Silence after which the peer has failed; cached likewise.
    failed_after: Duration,
}

impl AdaptiveTimeout {
    /// Starts the statistics of a path on which a message has just arrived.
    #[must_use]
    pub(crate) fn new(now: Instant) -> Self {
        let mut timeout = Self {
            heard: now,
            last_heartbeat: now,
            short_term_loss: 0.0,
            long_term_loss: 0.0,
            longest_gaps: [Duration::ZERO; 6],
            period_start: now,
            suspect_after: Duration::ZERO,
            failed_after: Duration::ZERO,
        };
        timeout.update_timeouts();
        timeout
    }

    /// Records that a message of any kind arrived.
    pub(crate) fn note_heard(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
    }

    /// Records that a heartbeat arrived, and updates loss, gaps and timeouts.
    pub(crate) fn note_heartbeat(&mut self, now: Instant) {
        let gap = now.saturating_duration_since(self.last_heartbeat);
        self.last_heartbeat = now;
        self.note_heard(now);
        if now.saturating_duration_since(self.period_start) >= GAP_PERIOD {
            self.period_start = now;
            self.longest_gaps.rotate_right(1);
            self.longest_gaps[0] = Duration::ZERO;
        }
        self.longest_gaps[0] = self.longest_gaps[0].max(gap);
        // A long silence is not packet loss: the peer did not run, or a cable was unplugged. It
        // says nothing about the chance of each single heartbeat.
        let missed = ((gap + HEARTBEAT_INTERVAL / 2).as_millis() / HEARTBEAT_INTERVAL.as_millis()).saturating_sub(1);
        let missed = if missed > 8 { 0 } else { missed };
        for _ in 0..missed {
            self.update_loss(1.0);
        }
        self.update_loss(0.0);
        self.update_timeouts();
    }

    /// Adds one heartbeat to the moving averages: `lost` is 1 for a missing one, 0 for a received
    /// one.
    fn update_loss(&mut self, lost: f64) {
        self.short_term_loss += (lost - self.short_term_loss) / 20.0;
        self.long_term_loss += (lost - self.long_term_loss) / 400.0;
    }

    /// Discounts a `pause` during which this process did not run, so that it is not taken for
    /// silence of the peer.
    pub(crate) fn excuse_pause(&mut self, now: Instant, pause: Duration) {
        self.heard = now.min(self.heard + pause);
        self.last_heartbeat = now.min(self.last_heartbeat + pause);
    }

    /// Returns the estimated packet loss, from 0 to 1: the higher of both averages.
    #[must_use]
    pub(crate) fn loss(&self) -> f64 {
        self.short_term_loss.max(self.long_term_loss)
    }

    /// Returns when the peer becomes suspect on this path, unless a message arrives before.
    #[must_use]
    pub(crate) fn suspect_from(&self) -> Instant {
        self.heard + self.suspect_after
    }

    /// Returns when the peer counts as failed on this path, unless a message arrives before.
    #[must_use]
    pub(crate) fn failed_from(&self) -> Instant {
        self.heard + self.failed_after
    }

    fn update_timeouts(&mut self) {
        self.suspect_after = HEARTBEAT_INTERVAL * self.heartbeats_until(FALSE_SUSPICION, 1, 6) + SLACK;
        let by_loss = HEARTBEAT_INTERVAL * self.heartbeats_until(FALSE_FAILURE, 4, 20);
        let longest_gap = self.longest_gaps.iter().max().copied().unwrap_or_default();
        let limit = if self.long_term_loss > LOSSY {
            LONGEST_WAIT_WITH_LOSS
        } else {
            LONGEST_WAIT
        };
        self.failed_after = by_loss.max((longest_gap * 3 / 2).min(limit));
    }

    /// Returns how many heartbeats in a row must be missing until the probability that all were
    /// lost is at most `chance`. The result is at least `least` and at most `most`.
    fn heartbeats_until(&self, chance: f64, least: u32, most: u32) -> u32 {
        let mut missing = 1;
        let mut probability = self.loss();
        while probability > chance && missing < most {
            probability *= self.loss();
            missing += 1;
        }
        missing.max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The silence after which the peer is suspect, and failed, in milliseconds.
    fn timeouts(timeout: &AdaptiveTimeout) -> (u128, u128) {
        let since = |at: Instant| at.saturating_duration_since(timeout.heard).as_millis();
        (since(timeout.suspect_from()), since(timeout.failed_from()))
    }

    #[test]
    fn timeouts_grow_with_loss_and_with_the_longest_gap() {
        let start = crate::testing::start();
        let mut timeout = AdaptiveTimeout::new(start);
        let mut now = start;
        for _ in 0..400 {
            now += HEARTBEAT_INTERVAL;
            timeout.note_heartbeat(now);
        }
        assert_eq!(timeouts(&timeout), (75, 200));
        let mut stalled = timeout.clone();
        stalled.note_heartbeat(now + Duration::from_millis(170));
        assert!((250..=300).contains(&timeouts(&stalled).1), "{:?}", timeouts(&stalled));
        // Three of ten heartbeats are lost.
        for index in 0..1000 {
            now += HEARTBEAT_INTERVAL;
            if index % 10 > 2 {
                timeout.note_heartbeat(now);
            }
        }
        let (suspect, failed) = timeouts(&timeout);
        assert!((0.25..0.4).contains(&timeout.loss()), "{}", timeout.loss());
        assert!(
            (150..=325).contains(&suspect) && (550..=800).contains(&failed),
            "{suspect} {failed}"
        );
    }

    #[test]
    fn long_gap_extends_timeout_up_to_the_limit_and_fades_in_an_hour() {
        let start = crate::testing::start();
        let mut timeout = AdaptiveTimeout::new(start);
        let mut now = start + Duration::from_secs(30);
        timeout.note_heartbeat(now);
        assert_eq!(timeouts(&timeout).1, LONGEST_WAIT.as_millis());
        for _ in 0..80_000 {
            now += HEARTBEAT_INTERVAL;
            timeout.note_heartbeat(now);
        }
        assert_eq!(timeouts(&timeout).1, 200);
    }

    #[test]
    fn pause_of_this_process_is_not_silence_of_the_peer() {
        let start = crate::testing::start();
        let mut timeout = AdaptiveTimeout::new(start);
        let late = start + Duration::from_secs(2);
        assert!(late > timeout.failed_from());
        timeout.excuse_pause(late, Duration::from_millis(1990));
        assert!(late < timeout.suspect_from());
    }
}
