//! All deadlines of a speaker in one table.

use std::time::Instant;

/// What a speaker waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The next heartbeat is sent.
    Heartbeat,
    /// The full state goes to the next peer.
    AntiEntropy,
    /// A watched peer becomes suspect or failed, unless it is heard before.
    FailureDetection,
    /// A refutation that the rate limit delayed.
    Refutation,
    /// Watched peers get a request, to learn whether they answer at all.
    ReachabilityBaseline,
    /// The next request of a reachability check.
    ReachabilityCheck,
    /// Ownership is reviewed because something changed.
    OwnershipReview,
    /// Ownership is reviewed because time passed.
    OwnershipRecheck,
    /// A claim that its former owner has not acknowledged is sent again.
    Retransmission,
    /// The next probe of conflict detection, or its end.
    ConflictDetection,
    /// A possible rival is asked whether it still answers.
    RivalProbe,
    /// The next gratuitous announcement.
    Gratuitous,
}

impl Timer {
    const COUNT: usize = Self::Gratuitous as usize + 1;
}

/// When each timer is due, if it is armed.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimerTable {
    due: [Option<Instant>; Timer::COUNT],
}

impl TimerTable {
    pub(crate) const fn get(&self, timer: Timer) -> Option<Instant> {
        self.due[timer as usize]
    }

    pub(crate) const fn set(&mut self, timer: Timer, due: Option<Instant>) {
        self.due[timer as usize] = due;
    }

    /// Arms a timer that is not armed yet.
    pub(crate) fn set_unless_armed(&mut self, timer: Timer, due: Instant) {
        self.due[timer as usize].get_or_insert(due);
    }

    /// Arms a timer for `due`, unless it is due earlier.
    pub(crate) fn set_earlier(&mut self, timer: Timer, due: Instant) {
        let armed = &mut self.due[timer as usize];
        *armed = Some(armed.map_or(due, |armed| armed.min(due)));
    }

    /// Whether a timer is due.
    pub(crate) fn is_due(&self, timer: Timer, now: Instant) -> bool {
        self.get(timer).is_some_and(|due| due <= now)
    }

    /// The earliest of all timers.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.iter().flatten().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn earliest_armed_timer_is_next() {
        let now = crate::testing::start();
        let later = now + Duration::from_secs(1);
        let mut timers = TimerTable::default();
        assert_eq!(timers.next(), None);
        timers.set(Timer::Heartbeat, Some(later));
        timers.set_earlier(Timer::Gratuitous, later + Duration::from_secs(1));
        timers.set_earlier(Timer::Gratuitous, now);
        timers.set_unless_armed(Timer::Gratuitous, later);
        assert_eq!(timers.next(), Some(now));
        assert!(timers.is_due(Timer::Gratuitous, now) && !timers.is_due(Timer::Heartbeat, now));
        timers.set(Timer::Gratuitous, None);
        assert_eq!(timers.next(), Some(later));
    }
}
