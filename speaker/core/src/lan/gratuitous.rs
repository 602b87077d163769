//! Schedules the gratuitous ARP and unsolicited NA of announced addresses.
//!
//! A new announcement starts with a burst, so that a neighbour that misses one frame receives the
//! next. A slow refresh follows until the announcement stops.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

/// The times of the burst, in milliseconds since the announcement started.
const BURST: [u64; 5] = [0, 100, 1100, 2200, 3300];

/// The schedule of one announced address.
#[derive(Clone, Debug)]
struct AddressSchedule {
    /// When the announcement started.
    since: Instant,
    /// How many times the address has been due.
    sent: u32,
    /// When the address is due next.
    next: Instant,
}

/// The schedules of all announced addresses.
#[derive(Clone, Debug)]
pub(crate) struct GratuitousSchedule {
    schedules: BTreeMap<IpAddr, AddressSchedule>,
    /// The due times, the earliest first. An address without a future due time is not in it.
    queue: BTreeSet<(Instant, IpAddr)>,
    /// Interval of the refresh after the burst; zero disables it. The refresh keeps switches that
    /// forget in line with neighbours that do not.
    refresh: Duration,
}

impl GratuitousSchedule {
    /// Creates an empty schedule. `refresh` is the interval after the burst; zero disables the
    /// refresh.
    #[must_use]
    pub(crate) const fn new(refresh: Duration) -> Self {
        Self {
            schedules: BTreeMap::new(),
            queue: BTreeSet::new(),
            refresh,
        }
    }

    /// Starts to announce `address` with a burst. Restarts the burst if it is announced already.
    pub(crate) fn start(&mut self, now: Instant, address: IpAddr) {
        self.stop(address);
        let schedule = AddressSchedule {
            since: now,
            sent: 0,
            next: now,
        };
        self.schedules.insert(address, schedule);
        self.queue.insert((now, address));
    }

    /// Stops announcing `address`.
    pub(crate) fn stop(&mut self, address: IpAddr) {
        if let Some(schedule) = self.schedules.remove(&address) {
            self.queue.remove(&(schedule.next, address));
        }
    }

    /// Returns the time of the next announcement.
    #[must_use]
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.queue.first().map(|(next, _)| *next)
    }

    /// Returns the addresses to announce now, and schedules their next announcements.
    pub(crate) fn poll_due(&mut self, now: Instant) -> Vec<IpAddr> {
        let mut due = Vec::new();
        while let Some((next, address)) = self.queue.pop_first() {
            if next > now {
                self.queue.insert((next, address));
                break;
            }
            let Some(schedule) = self.schedules.get_mut(&address) else {
                continue;
            };
            schedule.sent = schedule.sent.saturating_add(1);
            let offset = usize::try_from(schedule.sent).ok().and_then(|sent| BURST.get(sent));
            let burst = offset.map(|offset| schedule.since + Duration::from_millis(*offset));
            if let Some(next) = burst.or_else(|| next_refresh(now, self.refresh, address, schedule.sent)) {
                schedule.next = next;
                self.queue.insert((next, address));
            }
            due.push(address);
        }
        due
    }
}

/// Returns when a refresh is due; `None` if there is none, or none before the clock ends.
fn next_refresh(now: Instant, refresh: Duration, address: IpAddr, sent: u32) -> Option<Instant> {
    let interval = Some(refresh).filter(|refresh| !refresh.is_zero())?;
    now.checked_add(interval.checked_add(jitter(refresh, address, sent))?)
}

/// Returns up to a tenth of the interval, so that a thousand addresses are not due at the same
/// moment. The result is a pure function of the arguments, which keeps the speaker deterministic.
fn jitter(refresh: Duration, address: IpAddr, sent: u32) -> Duration {
    let digest = Sha256::digest(format!("{address}#{sent}"));
    let byte = digest.first().copied().unwrap_or_default();
    refresh / 10 / 255 * u32::from(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_is_followed_by_a_slow_refresh() {
        let start = crate::testing::start();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut schedule = GratuitousSchedule::new(Duration::from_secs(60));
        schedule.start(start, address);
        let mut offsets = Vec::new();
        for _ in 0..7 {
            let now = schedule.next_timeout().unwrap();
            assert_eq!(schedule.poll_due(now), [address]);
            assert_eq!(schedule.poll_due(now), Vec::<IpAddr>::new());
            offsets.push((now - start).as_millis());
        }
        assert_eq!(offsets[..5], [0, 100, 1100, 2200, 3300]);
        for pair in offsets[4..].windows(2) {
            assert!((60_000..=66_000).contains(&(pair[1] - pair[0])), "{offsets:?}");
        }
        schedule.stop(address);
        assert_eq!(schedule.next_timeout(), None);
    }

    #[test]
    fn longest_possible_interval_is_no_refresh() {
        let start = crate::testing::start();
        let mut schedule = GratuitousSchedule::new(Duration::from_secs(u64::MAX));
        schedule.start(start, "192.0.2.1".parse().unwrap());
        let mut times = 0;
        while let Some(now) = schedule.next_timeout() {
            times += schedule.poll_due(now).len();
        }
        assert_eq!(times, BURST.len());
    }

    #[test]
    fn without_refresh_nothing_follows_the_burst() {
        let start = crate::testing::start();
        let mut schedule = GratuitousSchedule::new(Duration::ZERO);
        schedule.start(start, "192.0.2.1".parse().unwrap());
        let mut times = 0;
        while let Some(now) = schedule.next_timeout() {
            times += schedule.poll_due(now).len();
        }
        assert_eq!(times, BURST.len());
    }
}
