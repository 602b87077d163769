//! What is learnt of the way between a peer and this node: how much is lost on it, and how long it may be silent.

use std::time::{Duration, Instant};

/// How often a peer that we watch is heard.
pub const HEARTBEAT: Duration = Duration::from_millis(50);

/// How unlikely it has to be that a peer that lives is silent for so many heartbeats.
const FALSE_ALARM: f64 = 1e-6;

/// The same for a doubt, which costs little.
const FALSE_DOUBT: f64 = 1e-2;

/// A gap that is longer than usual is waited for, but never for longer than this: promise P1.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// Where something is lost, a gap may be that on top of a stall of the node; promise P1 leaves that out.
const LONGEST_WAIT_WITH_LOSS: Duration = Duration::from_millis(600);

/// From which loss on, on average: more than one gap makes.
const LOSSY: f64 = 0.02;

/// Gaps are forgotten after six of these.
const REMEMBERED: Duration = Duration::from_secs(600);

/// How late a heartbeat may be before there is a doubt, beyond its interval.
const SLACK: Duration = Duration::from_millis(25);

/// The way from a peer to this node.
#[derive(Clone, Debug)]
pub struct Link {
    /// When something was last heard on it.
    heard: Instant,
    /// The last heartbeat.
    beat: Instant,
    /// Moving averages of what is lost: over about a second, and over about twenty.
    fast: f64,
    slow: f64,
    /// The longest gaps, by the age of the period that they are from.
    gaps: [Duration; 6],
    period: Instant,
    /// How long its silence is no cause for a doubt, and none for suspicion: of what was learnt with the last heartbeat, as they are
    /// asked for far more often than that.
    undoubted: Duration,
    unsuspected: Duration,
}

impl Link {
    /// One that has just been heard on.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let mut link = Self {
            heard: now,
            beat: now,
            fast: 0.0,
            slow: 0.0,
            gaps: [Duration::ZERO; 6],
            period: now,
            undoubted: Duration::ZERO,
            unsuspected: Duration::ZERO,
        };
        link.decide_patience();
        link
    }

    /// Something was heard.
    pub fn hear(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
    }

    /// A heartbeat was heard.
    pub fn beat(&mut self, now: Instant) {
        let gap = now.saturating_duration_since(self.beat);
        self.beat = now;
        self.hear(now);
        if now.saturating_duration_since(self.period) >= REMEMBERED {
            self.period = now;
            self.gaps.rotate_right(1);
            self.gaps[0] = Duration::ZERO;
        }
        self.gaps[0] = self.gaps[0].max(gap);
        // A long silence is no loss: the peer did not run, or a cable was out. It tells of itself once, and not of each heartbeat.
        let missed = ((gap + HEARTBEAT / 2).as_millis() / HEARTBEAT.as_millis()).saturating_sub(1);
        let missed = if missed > 8 { 0 } else { missed };
        for _ in 0..missed {
            self.learn(1.0);
        }
        self.learn(0.0);
        self.decide_patience();
    }

    fn learn(&mut self, lost: f64) {
        self.fast += (lost - self.fast) / 20.0;
        self.slow += (lost - self.slow) / 400.0;
    }

    /// This process did not run for `pause`.
    pub fn excuse(&mut self, now: Instant, pause: Duration) {
        self.heard = now.min(self.heard + pause);
        self.beat = now.min(self.beat + pause);
    }

    /// How much is lost, from 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.fast.max(self.slow)
    }

    /// The moment from which its silence is worth a doubt.
    #[must_use]
    pub fn doubted_from(&self) -> Instant {
        self.heard + self.undoubted
    }

    /// The moment from which the peer is suspected.
    #[must_use]
    pub fn suspected_from(&self) -> Instant {
        self.heard + self.unsuspected
    }

    fn decide_patience(&mut self) {
        self.undoubted = HEARTBEAT * self.missing(FALSE_DOUBT, 1, 6) + SLACK;
        let by_loss = HEARTBEAT * self.missing(FALSE_ALARM, 4, 20);
        let longest = self.gaps.iter().max().copied().unwrap_or_default();
        let most = if self.slow > LOSSY {
            LONGEST_WAIT_WITH_LOSS
        } else {
            LONGEST_WAIT
        };
        self.unsuspected = by_loss.max((longest * 3 / 2).min(most));
    }

    /// When it was last heard on.
    #[must_use]
    pub const fn heard(&self) -> Instant {
        self.heard
    }

    /// How many heartbeats have to be missing until that is as unlikely as `chance`.
    fn missing(&self, chance: f64, least: u32, most: u32) -> u32 {
        let mut missing = 1;
        let mut likely = self.loss();
        while likely > chance && missing < most {
            likely *= self.loss();
            missing += 1;
        }
        missing.max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(link: &Link) -> (u128, u128) {
        let since = |at: Instant| at.saturating_duration_since(link.heard).as_millis();
        (since(link.doubted_from()), since(link.suspected_from()))
    }

    #[test]
    fn patience_grows_with_what_is_lost_and_with_the_longest_gap() {
        let start = lodestone_runtime::clock::now();
        let mut link = Link::new(start);
        let mut now = start;
        for _ in 0..400 {
            now += HEARTBEAT;
            link.beat(now);
        }
        assert_eq!(after(&link), (75, 200));
        let mut stalled = link.clone();
        stalled.beat(now + Duration::from_millis(170));
        assert!((250..=300).contains(&after(&stalled).1), "{:?}", after(&stalled));
        // Three of ten are lost.
        for index in 0..1000 {
            now += HEARTBEAT;
            if index % 10 > 2 {
                link.beat(now);
            }
        }
        let (doubt, suspicion) = after(&link);
        assert!((0.25..0.4).contains(&link.loss()), "{}", link.loss());
        assert!(
            (150..=325).contains(&doubt) && (550..=800).contains(&suspicion),
            "{doubt} {suspicion}"
        );
    }

    #[test]
    fn a_long_silence_is_forgotten_after_an_hour_and_is_never_waited_for_as_long() {
        let start = lodestone_runtime::clock::now();
        let mut link = Link::new(start);
        let mut now = start + Duration::from_secs(30);
        link.beat(now);
        assert_eq!(after(&link).1, LONGEST_WAIT.as_millis());
        for _ in 0..80_000 {
            now += HEARTBEAT;
            link.beat(now);
        }
        assert_eq!(after(&link).1, 200);
    }

    #[test]
    fn a_pause_of_our_own_is_no_silence_of_the_other() {
        let start = lodestone_runtime::clock::now();
        let mut link = Link::new(start);
        let late = start + Duration::from_secs(2);
        assert!(late > link.suspected_from());
        link.excuse(late, Duration::from_millis(1990));
        assert!(late < link.doubted_from());
    }
}
