//! Decides which conflicts become events.
//!
//! Any host can cause conflicts, at any rate, and each event is an object in the API server. So the
//! events on one address come after 1, 2, 4 and more minutes, and those of all addresses at most
//! ten a minute.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

/// The time from the first event on an address to the second. It doubles with each event.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// The longest time between two events on an address whose conflict goes on. Kubernetes deletes an
/// event after an hour.
const LONGEST_PAUSE: Duration = Duration::from_secs(64 * 60);

/// The events on all addresses in one [`WINDOW`] at most.
const EVENTS: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// The latest event on an address.
#[derive(Clone, Copy, Debug)]
struct LastReport {
    at: Instant,
    /// How long no other event follows.
    pause: Duration,
}

/// The events on conflicts so far.
#[derive(Clone, Debug, Default)]
pub(super) struct ConflictReports {
    addresses: BTreeMap<IpAddr, LastReport>,
    /// The times of the latest events on any address.
    recent: VecDeque<Instant>,
}

impl ConflictReports {
    /// Whether a conflict about `address` becomes an event. Counts it if so.
    pub(super) fn admit(&mut self, now: Instant, address: IpAddr) -> bool {
        let last = self.addresses.get(&address).copied();
        if last.is_some_and(|last| now < last.at + last.pause) {
            return false;
        }
        while self.recent.front().is_some_and(|at| now >= *at + WINDOW) {
            self.recent.pop_front();
        }
        if self.recent.len() >= EVENTS {
            return false;
        }
        self.recent.push_back(now);
        // A conflict that was over for long begins again.
        self.addresses
            .retain(|_, report| now < report.at + report.pause + LONGEST_PAUSE);
        let before = self.addresses.get(&address);
        let pause = before.map_or(FIRST_PAUSE, |report| LONGEST_PAUSE.min(report.pause * 2));
        self.addresses.insert(address, LastReport { at: now, pause });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    #[test]
    fn events_on_one_address_come_at_a_falling_rate() {
        let start = crate::testing::start();
        let mut reports = ConflictReports::default();
        let day = 0..24 * 60;
        let minutes = day.filter(|minute| reports.admit(start + FIRST_PAUSE * *minute, address(1)));
        let minutes: Vec<u32> = minutes.collect();
        assert_eq!(minutes[..9], [0, 1, 3, 7, 15, 31, 63, 127, 191]);
    }

    #[test]
    fn conflict_that_was_over_for_long_is_reported_at_once_again() {
        let start = crate::testing::start();
        let mut reports = ConflictReports::default();
        assert!(reports.admit(start, address(1)));
        let later = start + FIRST_PAUSE + LONGEST_PAUSE;
        assert!(reports.admit(later, address(1)));
        assert!(!reports.admit(later + FIRST_PAUSE - Duration::from_millis(1), address(1)));
        assert!(reports.admit(later + FIRST_PAUSE, address(1)));
    }

    #[test]
    fn at_most_ten_events_a_minute_come_for_all_addresses() {
        let start = crate::testing::start();
        let mut reports = ConflictReports::default();
        let admitted = |reports: &mut ConflictReports, now| {
            let numbers = 0..200;
            numbers.filter(|number| reports.admit(now, address(*number))).count()
        };
        assert_eq!(admitted(&mut reports, start), EVENTS);
        assert_eq!(admitted(&mut reports, start + WINDOW - Duration::from_millis(1)), 0);
        assert_eq!(admitted(&mut reports, start + WINDOW), EVENTS);
        assert!(reports.addresses.len() <= EVENTS * 2 && reports.recent.len() <= EVENTS);
    }
}
