//! The reachability check: does a suspect node, and does its speaker, still answer on the LAN?
//!
//! In each round the caller sends ARP requests or neighbor solicitations for two kinds of
//! addresses. The kernel of the peer answers for the addresses of the *node*. Its *speaker* answers
//! for the addresses that it owns. This module counts the rounds without an answer and decides.
//!
//! # Results
//!
//! ```text
//!                       ┌───────────┐  speaker answers   ┌──────────────┐
//!          new ────────►│ Undecided ├───────────────────►│ SpeakerAlive │◄──┐
//!                       └──┬─────┬──┘                    └──┬────────┬──┘   │
//!    node answers, speaker │     │ both silent              │        │      │
//!    silent for n rounds   │     │ for n rounds             │        │      │
//!                          │     └────────────────┐    same │   same │      │ speaker
//!                          ▼                      │         │        │      │ answers
//!                   ┌─────────────┐◄──────────────┼─────────┘        │      │
//!                   │ SpeakerDown ├───────────────┼──────────────────┼──────┤
//!                   └──────┬──────┘               ▼                  │      │
//!                          │   node silent  ┌──────────┐◄────────────┘      │
//!                          └───────────────►│ NodeDown ├────────────────────┘
//!                              for n rounds └──────────┘
//! ```
//!
//! If only the node answers again, `NodeDown` becomes `SpeakerDown`. It becomes `Undecided` while
//! the loss makes the silence of the speaker inconclusive. [`ReachabilityCheck::discount_silence`]
//! also leads back: to `SpeakerAlive` if the speaker has answered since the check began, otherwise
//! to `Undecided`.
//!
//! The number of rounds n is at least eight and grows with the packet loss.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::types::MacAddr;

/// Interval between rounds at the start of a check.
const FAST: Duration = Duration::from_millis(20);
/// Interval between rounds once the check has run for [`FAST_FOR`].
const SLOW: Duration = Duration::from_millis(50);
/// How long a check uses the [`FAST`] interval.
const FAST_FOR: Duration = Duration::from_secs(1);
/// Minimum number of unanswered rounds before silence counts, on a path without loss. Together they
/// last longer than the usual stall of a node, which is up to 150 ms.
const MIN_ROUNDS: u32 = 8;
/// Unanswered rounds that are still needed when isolation ends. Four rounds take longer than a
/// heartbeat interval, so live peers are heard first.
const ROUNDS_AFTER_ISOLATION: u32 = 4;
/// Accepted probability that all rounds were lost although the other side is alive.
const FALSE_ALARM: f64 = 1e-4;

/// The result of a reachability check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reachability {
    /// There are not enough rounds yet.
    Undecided,
    /// Neither the node nor its speaker answers.
    NodeDown,
    /// The node answers, but its speaker does not.
    SpeakerDown,
    /// The speaker answers for an address that it owns.
    SpeakerAlive,
}

impl Reachability {
    /// The word for it in `/debug/state`.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::SpeakerAlive => "speaker-alive",
            Self::SpeakerDown => "speaker-down",
            Self::NodeDown => "node-down",
        }
    }
}

/// The reachability check of one node on one segment, with what it asks for.
#[derive(Clone, Debug)]
pub(super) struct SegmentCheck {
    pub(super) check: ReachabilityCheck,
    pub(super) targets: SegmentTargets,
}

/// What a check asks for on one segment.
#[derive(Clone, Debug, Default)]
pub(super) struct SegmentTargets {
    /// Addresses of the node itself, on its interfaces there.
    pub(super) own: BTreeSet<IpAddr>,
    /// The MACs of the ports with which it should announce there. If such a port is dead, another
    /// port of the node may answer, and clients still send to the dead one.
    pub(super) macs: BTreeSet<MacAddr>,
    /// Addresses that it should announce there.
    pub(super) owned: Vec<IpAddr>,
}

/// A segment on which this node may be isolated, although it hears peers elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Isolation {
    pub(super) since: Instant,
    /// The requests to gateways and hosts.
    pub(super) check: ReachabilityCheck,
}

/// The reachability check of one node.
#[derive(Clone, Debug)]
pub(crate) struct ReachabilityCheck {
    /// When the check began.
    since: Instant,
    /// When the next round is due.
    next: Instant,
    /// Rounds since the node last answered, including the latest one.
    node_rounds: u32,
    /// Rounds since the speaker last answered, including the latest one.
    speaker_rounds: u32,
    /// Answers of the node since the speaker last answered.
    node_only_answers: u32,
    /// Whether the node has answered since the check began.
    node_answered: bool,
    /// Whether the speaker has answered since the check began.
    speaker_answered: bool,
}

impl ReachabilityCheck {
    /// Begins a check. The first round is due at once.
    #[must_use]
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            next: now,
            node_rounds: 0,
            speaker_rounds: 0,
            node_only_answers: 0,
            node_answered: false,
            speaker_answered: false,
        }
    }

    /// Returns when the next round is due.
    #[must_use]
    pub(crate) const fn next_timeout(&self) -> Instant {
        self.next
    }

    /// Records a round: requests to the node and to its speaker were sent now.
    pub(crate) fn note_asked(&mut self, now: Instant) {
        self.node_rounds = self.node_rounds.saturating_add(1);
        self.speaker_rounds = self.speaker_rounds.saturating_add(1);
        let interval = if now.saturating_duration_since(self.since) < FAST_FOR {
            FAST
        } else {
            SLOW
        };
        self.next = now + interval;
    }

    /// Discounts the silence so far, because this node seems to be isolated.
    ///
    /// After the isolation, alive peers must be heard before silence counts again. So at least four
    /// more rounds are necessary. They take longer than a heartbeat interval, and the latest round
    /// does not count yet.
    pub(crate) fn discount_silence(&mut self) {
        let cap = MIN_ROUNDS + 1 - ROUNDS_AFTER_ISOLATION;
        self.node_rounds = self.node_rounds.min(cap);
        self.speaker_rounds = self.speaker_rounds.min(cap);
    }

    /// Records an answer of the node.
    pub(crate) const fn note_node_answered(&mut self) {
        self.node_rounds = 0;
        self.node_answered = true;
        self.node_only_answers = self.node_only_answers.saturating_add(1);
    }

    /// Records an answer of the speaker, which proves that its node is reachable too.
    pub(crate) const fn note_speaker_answered(&mut self) {
        self.speaker_rounds = 0;
        self.speaker_answered = true;
        self.note_node_answered();
        self.node_only_answers = 0;
    }

    /// Returns what the check has found so far. `loss` is the packet loss in one direction, from 0
    /// to 1.
    #[must_use]
    pub(crate) fn result(&self, loss: f64) -> Reachability {
        let round_loss = 1.0 - (1.0 - loss) * (1.0 - loss);
        let enough = enough_rounds(round_loss);
        // The answer to the latest round may still be on its way.
        let unanswered = |rounds: u32| rounds.saturating_sub(1);
        let node_may_live = unanswered(self.node_rounds) < enough;
        let speaker_may_live = unanswered(self.speaker_rounds) < enough;
        match (node_may_live, speaker_may_live) {
            (_, true) if self.speaker_answered => Reachability::SpeakerAlive,
            (true, false)
                if self.node_answered
                    && unanswered(self.speaker_rounds) >= self.enough_rounds_beside_node(round_loss) =>
            {
                Reachability::SpeakerDown
            }
            (false, false) => Reachability::NodeDown,
            _ => Reachability::Undecided,
        }
    }

    /// Returns how many unanswered rounds prove that the speaker of an answering node is down.
    ///
    /// The node took part in the same rounds. Its missing answers show the loss of this moment,
    /// which may exceed the estimate `round_loss`.
    fn enough_rounds_beside_node(&self, round_loss: f64) -> u32 {
        let rounds = self.speaker_rounds.saturating_sub(1);
        let lost = rounds.saturating_sub(self.node_only_answers);
        enough_rounds(round_loss.max(f64::from(lost) / f64::from(rounds.max(1))))
    }
}

/// Returns how many unanswered rounds prove silence. `round_loss` is the probability that a request
/// or its answer is lost.
fn enough_rounds(round_loss: f64) -> u32 {
    let mut probability = round_loss;
    let mut rounds = 1;
    while probability > FALSE_ALARM && rounds < 25 {
        probability *= round_loss;
        rounds += 1;
    }
    rounds.max(MIN_ROUNDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(check: &mut ReachabilityCheck, rounds: u32) {
        for _ in 0..rounds {
            let now = check.next_timeout();
            check.note_asked(now);
        }
    }

    #[test]
    fn silence_counts_after_eight_rounds_and_after_more_with_loss() {
        let mut check = ReachabilityCheck::new(crate::testing::start());
        ask(&mut check, 8);
        assert_eq!(check.result(0.0), Reachability::Undecided);
        ask(&mut check, 1);
        assert_eq!(
            (check.result(0.0), check.result(0.3)),
            (Reachability::NodeDown, Reachability::Undecided)
        );
        ask(&mut check, 6);
        assert_eq!(check.result(0.3), Reachability::NodeDown);
    }

    #[test]
    fn p6_node_that_stalls_for_150_ms_at_any_time_is_not_down() {
        const STALL: Duration = Duration::from_millis(150);
        let start = crate::testing::start();
        for after in 0..60 {
            let stall = start + Duration::from_millis(after);
            let mut check = ReachabilityCheck::new(start);
            while check.next_timeout() < stall + STALL {
                let now = check.next_timeout();
                check.note_asked(now);
                assert_ne!(check.result(0.0), Reachability::NodeDown, "stall after {after} ms");
                if now < stall {
                    check.note_node_answered();
                }
            }
        }
    }

    #[test]
    fn silence_during_isolation_does_not_count_after_it() {
        let mut check = ReachabilityCheck::new(crate::testing::start());
        ask(&mut check, 100);
        check.discount_silence();
        ask(&mut check, 3);
        assert_eq!(check.result(0.0), Reachability::Undecided);
        ask(&mut check, 1);
        assert_eq!(check.result(0.0), Reachability::NodeDown);
    }

    #[test]
    fn p6_missing_answers_of_the_node_raise_the_rounds_for_its_speaker() {
        let rounds_until_speaker_down = |answers: fn(u32) -> bool| {
            let mut check = ReachabilityCheck::new(crate::testing::start());
            for round in 1..60 {
                ask(&mut check, 1);
                if check.result(0.0) == Reachability::SpeakerDown {
                    return round;
                }
                if answers(round) {
                    check.note_node_answered();
                }
            }
            panic!("{check:?}");
        };
        assert_eq!(rounds_until_speaker_down(|_| true), MIN_ROUNDS + 1);
        // 2^-14 is the first power of 1/2 below 1e-4.
        assert_eq!(rounds_until_speaker_down(|round| round % 2 == 0), 14 + 1);
    }

    #[test]
    fn node_and_speaker_are_distinguished() {
        let mut check = ReachabilityCheck::new(crate::testing::start());
        ask(&mut check, 2);
        check.note_speaker_answered();
        assert_eq!(check.result(0.0), Reachability::SpeakerAlive);
        for _ in 0..8 {
            ask(&mut check, 1);
            check.note_node_answered();
        }
        assert_eq!(check.result(0.0), Reachability::SpeakerAlive);
        ask(&mut check, 1);
        assert_eq!(check.result(0.0), Reachability::SpeakerDown);
        ask(&mut check, 8);
        assert_eq!(check.result(0.0), Reachability::NodeDown);
    }
}
