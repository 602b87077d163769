//! Asking the wire: whether a node, and whether its speaker, still answers on the LAN, whatever is heard of it otherwise.

use std::time::{Duration, Instant};

/// How often is asked while there is a doubt.
const FAST: Duration = Duration::from_millis(20);
/// How often is asked once it is known what is the matter.
const SLOW: Duration = Duration::from_millis(50);
/// For how long is asked fast.
const FAST_FOR: Duration = Duration::from_secs(1);
/// How often in vain before silence means something, where nothing is lost: for longer than a node stands still now and then, which is 150 ms.
const LEAST: u32 = 8;
/// How unlikely it has to be that all of it was lost.
const FALSE_ALARM: f64 = 1e-4;

/// What the wire says of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Not enough yet.
    Undecided,
    /// The speaker answers for an address that it owns.
    Lives,
    /// The node answers and its speaker does not.
    SpeakerGone,
    /// Neither answers.
    Gone,
}

/// One node that is asked after.
#[derive(Clone, Debug)]
pub struct Check {
    since: Instant,
    next: Instant,
    /// How often the node was asked since it last answered, and its speaker since that did.
    node: u32,
    speaker: u32,
    /// How often the node has answered while its speaker did not.
    alone: u32,
    /// Which has answered since the check began.
    node_answered: bool,
    speaker_answered: bool,
}

impl Check {
    /// Begins to ask.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            since: now,
            next: now,
            node: 0,
            speaker: 0,
            alone: 0,
            node_answered: false,
            speaker_answered: false,
        }
    }

    /// When is to be asked next.
    #[must_use]
    pub const fn next(&self) -> Instant {
        self.next
    }

    /// Both have been asked now.
    pub fn asked(&mut self, now: Instant) {
        self.node = self.node.saturating_add(1);
        self.speaker = self.speaker.saturating_add(1);
        let pace = if now.saturating_duration_since(self.since) < FAST_FOR {
            FAST
        } else {
            SLOW
        };
        self.next = now + pace;
    }

    /// This node seems to be cut off itself: the silence tells little, and when that ends those who live are to be heard first. Four questions
    /// take longer than a heartbeat, and the last one does not count yet.
    pub fn in_the_dark(&mut self) {
        self.node = self.node.min(LEAST + 1 - 4);
        self.speaker = self.speaker.min(LEAST + 1 - 4);
    }

    /// The node has answered.
    pub const fn node_answered(&mut self) {
        self.node = 0;
        self.node_answered = true;
        self.alone = self.alone.saturating_add(1);
    }

    /// The speaker has answered, and so has its node.
    pub const fn speaker_answered(&mut self) {
        self.speaker = 0;
        self.speaker_answered = true;
        self.node_answered();
        self.alone = 0;
    }

    /// What is known by now; `loss` is how much is lost on the way.
    #[must_use]
    pub fn found(&self, loss: f64) -> Found {
        let fails = 1.0 - (1.0 - loss) * (1.0 - loss);
        let enough = enough(fails);
        // The last question may still be answered.
        let in_vain = |asked: u32| asked.saturating_sub(1);
        match (in_vain(self.node) < enough, in_vain(self.speaker) < enough) {
            (_, true) if self.speaker_answered => Found::Lives,
            (true, false) if self.node_answered && in_vain(self.speaker) >= self.enough_beside_node(fails) => {
                Found::SpeakerGone
            }
            (false, false) => Found::Gone,
            _ => Found::Undecided,
        }
    }

    /// How often in vain is enough from the speaker of a node that answers: the node was asked as often, and what it left unanswered shows what
    /// is lost just now, which may be more than was learnt before.
    fn enough_beside_node(&self, fails: f64) -> u32 {
        let asked = self.speaker.saturating_sub(1);
        let lost = asked.saturating_sub(self.alone);
        enough(fails.max(f64::from(lost) / f64::from(asked.max(1))))
    }
}

/// How often in vain is enough, where a question or its answer is lost so often.
fn enough(fails: f64) -> u32 {
    let mut likely = fails;
    let mut times = 1;
    while likely > FALSE_ALARM && times < 25 {
        likely *= fails;
        times += 1;
    }
    times.max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(check: &mut Check, times: u32) {
        for _ in 0..times {
            let now = check.next();
            check.asked(now);
        }
    }

    #[test]
    fn silence_means_something_after_a_few_questions_and_after_more_where_much_is_lost() {
        let mut check = Check::new(lodestone_runtime::clock::now());
        asked(&mut check, 8);
        assert_eq!(check.found(0.0), Found::Undecided);
        asked(&mut check, 1);
        assert_eq!((check.found(0.0), check.found(0.3)), (Found::Gone, Found::Undecided));
        asked(&mut check, 6);
        assert_eq!(check.found(0.3), Found::Gone);
    }

    #[test]
    fn p6_a_node_that_stands_still_for_150_ms_at_any_moment_is_not_gone() {
        const STILL: Duration = Duration::from_millis(150);
        let start = lodestone_runtime::clock::now();
        for after in 0..60 {
            let still = start + Duration::from_millis(after);
            let mut check = Check::new(start);
            while check.next() < still + STILL {
                let now = check.next();
                check.asked(now);
                assert_ne!(check.found(0.0), Found::Gone, "stands still after {after} ms");
                if now < still {
                    check.node_answered();
                }
            }
        }
    }

    #[test]
    fn silence_in_the_dark_does_not_count_when_there_is_light_again() {
        let mut check = Check::new(lodestone_runtime::clock::now());
        asked(&mut check, 100);
        check.in_the_dark();
        asked(&mut check, 3);
        assert_eq!(check.found(0.0), Found::Undecided);
        asked(&mut check, 1);
        assert_eq!(check.found(0.0), Found::Gone);
    }

    #[test]
    fn p6_a_node_that_answers_every_other_question_shows_that_its_speaker_may_have_been_lost_too() {
        let asked_until_gone = |answers: fn(u32) -> bool| {
            let mut check = Check::new(lodestone_runtime::clock::now());
            for times in 1..60 {
                asked(&mut check, 1);
                if check.found(0.0) == Found::SpeakerGone {
                    return times;
                }
                if answers(times) {
                    check.node_answered();
                }
            }
            panic!("{check:?}");
        };
        assert_eq!(asked_until_gone(|_| true), LEAST + 1);
        // 2^-14 is below 1e-4.
        assert_eq!(asked_until_gone(|times| times % 2 == 0), 14 + 1);
    }

    #[test]
    fn the_node_and_its_speaker_are_told_apart() {
        let mut check = Check::new(lodestone_runtime::clock::now());
        asked(&mut check, 2);
        check.speaker_answered();
        assert_eq!(check.found(0.0), Found::Lives);
        for _ in 0..8 {
            asked(&mut check, 1);
            check.node_answered();
        }
        assert_eq!(check.found(0.0), Found::Lives);
        asked(&mut check, 1);
        assert_eq!(check.found(0.0), Found::SpeakerGone);
        asked(&mut check, 8);
        assert_eq!(check.found(0.0), Found::Gone);
    }
}
