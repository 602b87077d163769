//! When an owner speaks up unasked.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

/// After a take-over, in milliseconds from it: neighbours that missed one hear the next.
const BURST: [u64; 5] = [0, 100, 1100, 2200, 3300];

/// Afterwards: so that a switch that forgets, and a neighbour that does not, never part for long.
const REFRESH: Duration = Duration::from_secs(60);

/// One address that is announced.
#[derive(Clone, Debug)]
struct Course {
    since: Instant,
    said: u32,
    next: Instant,
}

/// All addresses that are announced.
#[derive(Clone, Debug, Default)]
pub struct Announcements {
    courses: BTreeMap<IpAddr, Course>,
}

impl Announcements {
    /// Begins to announce `address`, or begins anew with a burst.
    pub fn begin(&mut self, now: Instant, address: IpAddr) {
        self.courses.insert(
            address,
            Course {
                since: now,
                said: 0,
                next: now,
            },
        );
    }

    /// Begins anew with a burst for every address: the neighbours may be others than before.
    pub fn begin_all(&mut self, now: Instant) {
        for course in self.courses.values_mut() {
            *course = Course {
                since: now,
                said: 0,
                next: now,
            };
        }
    }

    /// Says nothing more about `address`.
    pub fn end(&mut self, address: IpAddr) {
        self.courses.remove(&address);
    }

    /// When the next announcement is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.courses.values().map(|course| course.next).min()
    }

    /// The addresses whose announcement is due.
    pub fn due(&mut self, now: Instant) -> Vec<IpAddr> {
        let due = self.courses.iter_mut().filter(|(_, course)| course.next <= now);
        due.map(|(address, course)| {
            course.said = course.said.saturating_add(1);
            let burst = usize::try_from(course.said).ok().and_then(|said| BURST.get(said));
            let refresh = || now + REFRESH + jitter(*address, course.said);
            course.next = burst.map_or_else(refresh, |offset| course.since + Duration::from_millis(*offset));
            *address
        })
        .collect()
    }
}

/// Up to a tenth of the interval, so that a thousand addresses don't speak up in the same moment. The same each time: what happens is a
/// function of what went in.
fn jitter(address: IpAddr, said: u32) -> Duration {
    let digest = Sha256::digest(format!("{address}#{said}"));
    let byte = digest.first().copied().unwrap_or_default();
    REFRESH / 10 * u32::from(byte) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_slow_refresh() {
        let start = lodestone_daemon::clock::now();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut announcements = Announcements::default();
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
}
