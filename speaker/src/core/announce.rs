//! When an owner speaks up unasked.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

/// After a take-over, in milliseconds from it: neighbours that missed one hear the next.
const BURST: [u64; 5] = [0, 100, 1100, 2200, 3300];

/// One address that is announced.
#[derive(Clone, Debug)]
struct Course {
    since: Instant,
    said: u32,
    next: Instant,
}

/// All addresses that are announced.
#[derive(Clone, Debug)]
pub struct Announcements {
    courses: BTreeMap<IpAddr, Course>,
    /// What is due when, the earliest first.
    queue: BTreeSet<(Instant, IpAddr)>,
    /// How often after the burst, so that a switch that forgets, and a neighbour that does not, never part for long; zero: never.
    refresh: Duration,
}

impl Announcements {
    /// None yet.
    #[must_use]
    pub const fn new(refresh: Duration) -> Self {
        Self {
            courses: BTreeMap::new(),
            queue: BTreeSet::new(),
            refresh,
        }
    }

    /// Begins to announce `address`, or begins anew with a burst.
    pub fn begin(&mut self, now: Instant, address: IpAddr) {
        self.end(address);
        let course = Course {
            since: now,
            said: 0,
            next: now,
        };
        self.courses.insert(address, course);
        self.queue.insert((now, address));
    }

    /// Says nothing more about `address`.
    pub fn end(&mut self, address: IpAddr) {
        if let Some(course) = self.courses.remove(&address) {
            self.queue.remove(&(course.next, address));
        }
    }

    /// When the next announcement is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(next, _)| *next)
    }

    /// The addresses whose announcement is due.
    pub fn due(&mut self, now: Instant) -> Vec<IpAddr> {
        let mut due = Vec::new();
        while let Some((next, address)) = self.queue.pop_first() {
            if next > now {
                self.queue.insert((next, address));
                break;
            }
            let Some(course) = self.courses.get_mut(&address) else {
                continue;
            };
            course.said = course.said.saturating_add(1);
            let burst = usize::try_from(course.said).ok().and_then(|said| BURST.get(said));
            let again = burst.map(|offset| course.since + Duration::from_millis(*offset));
            let refresh =
                || (!self.refresh.is_zero()).then(|| now + self.refresh + jitter(self.refresh, address, course.said));
            if let Some(again) = again.or_else(refresh) {
                course.next = again;
                self.queue.insert((again, address));
            }
            due.push(address);
        }
        due
    }
}

/// Up to a tenth of the interval, so that a thousand addresses don't speak up in the same moment. The same each time: what happens is a
/// function of what went in.
fn jitter(refresh: Duration, address: IpAddr, said: u32) -> Duration {
    let digest = Sha256::digest(format!("{address}#{said}"));
    let byte = digest.first().copied().unwrap_or_default();
    refresh / 10 * u32::from(byte) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_slow_refresh() {
        let start = lodestone_runtime::clock::now();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut announcements = Announcements::new(Duration::from_secs(60));
        announcements.begin(start, address);
        let mut offsets = Vec::new();
        for _ in 0..7 {
            let now = announcements.next().unwrap();
            assert_eq!(announcements.due(now), [address]);
            assert_eq!(announcements.due(now), Vec::<IpAddr>::new());
            offsets.push((now - start).as_millis());
        }
        assert_eq!(offsets[..5], [0, 100, 1100, 2200, 3300]);
        for pair in offsets[4..].windows(2) {
            assert!((60_000..=66_000).contains(&(pair[1] - pair[0])), "{offsets:?}");
        }
        announcements.end(address);
        assert_eq!(announcements.next(), None);
    }

    #[test]
    fn without_a_refresh_it_is_silent_after_the_burst() {
        let start = lodestone_runtime::clock::now();
        let mut announcements = Announcements::new(Duration::ZERO);
        announcements.begin(start, "192.0.2.1".parse().unwrap());
        let mut times = 0;
        while let Some(now) = announcements.next() {
            times += announcements.due(now).len();
        }
        assert_eq!(times, BURST.len());
    }
}
