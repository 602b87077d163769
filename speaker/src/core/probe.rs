//! Addresses of which somebody else may already be the owner (RFC 5227): they are asked for before they are answered for the first time, and
//! defended afterwards.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use pnet_base::MacAddr;

/// How often is asked, and how long each time is waited for an answer. The seconds of RFC 5227 suit hosts that boot; whoever answers later
/// is found when it does.
const PROBES: u32 = 2;
const INTERVAL: Duration = Duration::from_millis(15);
/// After so long an address that a foreign host has is asked for again.
const RETRY: Duration = Duration::from_secs(10);
/// An address is not defended more often than this (RFC 5227, section 2.4).
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// What is to be done with an address at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is asked for: so many times already, and again then.
    Probing { sent: u32, next: Instant },
    /// A foreign host has it; it is asked for again then.
    Taken { by: MacAddr, until: Instant },
}

/// All addresses that are not to be answered for, or not yet, and when others were defended.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    /// Of one that is not here nothing speaks against it.
    states: BTreeMap<IpAddr, State>,
    defended: BTreeMap<IpAddr, Instant>,
    conflicts: u64,
}

impl Probes {
    /// Asks before `address` is answered for.
    pub fn begin(&mut self, now: Instant, address: IpAddr) {
        self.states.insert(address, State::Probing { sent: 0, next: now });
    }

    /// `address` is not ours any more.
    pub fn forget(&mut self, address: IpAddr) {
        self.states.remove(&address);
        self.defended.remove(&address);
    }

    /// Whether it may be answered for.
    #[must_use]
    pub fn is_clear(&self, address: IpAddr) -> bool {
        !self.states.contains_key(&address)
    }

    /// The foreign host that has it.
    #[must_use]
    pub fn taken_by(&self, address: IpAddr) -> Option<MacAddr> {
        match self.states.get(&address) {
            Some(State::Taken { by, .. }) => Some(*by),
            _ => None,
        }
    }

    /// Every address that a foreign host has.
    pub fn taken(&self) -> impl Iterator<Item = (IpAddr, MacAddr)> {
        self.states.iter().filter_map(|(address, state)| match state {
            State::Taken { by, .. } => Some((*address, *by)),
            _ => None,
        })
    }

    /// How many conflicts there have been.
    #[must_use]
    pub const fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// A foreign host says that `address` is its own. Gives back whether that is to be contradicted now.
    pub fn foreign(&mut self, now: Instant, address: IpAddr, by: MacAddr) -> bool {
        if self.is_clear(address) {
            let due = self
                .defended
                .get(&address)
                .is_none_or(|last| now >= *last + DEFEND_INTERVAL);
            if due {
                self.conflicts = self.conflicts.saturating_add(1);
                self.defended.insert(address, now);
            }
            return due;
        }
        if self.taken_by(address).is_none() {
            self.conflicts = self.conflicts.saturating_add(1);
        }
        let until = now + RETRY;
        self.states.insert(address, State::Taken { by, until });
        false
    }

    /// When something is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let due = |state: &State| match state {
            State::Probing { next, .. } => *next,
            State::Taken { until, .. } => *until,
        };
        self.states.values().map(due).min()
    }

    /// The addresses that are to be asked for now, and those that have just turned out to be free.
    pub fn due(&mut self, now: Instant) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let (mut ask, mut clear) = (Vec::new(), Vec::new());
        for (address, state) in &mut self.states {
            match *state {
                State::Probing { sent, next } if next <= now && sent >= PROBES => clear.push(*address),
                State::Probing { sent, next } if next <= now => {
                    let (sent, next) = (sent + 1, now + INTERVAL);
                    *state = State::Probing { sent, next };
                    ask.push(*address);
                }
                State::Taken { until, .. } if until <= now => {
                    let next = now + INTERVAL;
                    *state = State::Probing { sent: 1, next };
                    ask.push(*address);
                }
                _ => {}
            }
        }
        for address in &clear {
            self.states.remove(address);
        }
        (ask, clear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREIGN: MacAddr = MacAddr(2, 9, 9, 9, 9, 9);

    #[test]
    fn an_address_is_asked_for_twice_and_then_ours() {
        let start = lodestone_runtime::clock::now();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut probes = Probes::default();
        assert!(
            probes.is_clear(address),
            "of one that was never probed for nothing is known"
        );
        probes.begin(start, address);
        assert_eq!(probes.due(start), (vec![address], vec![]));
        assert_eq!(probes.due(start), (vec![], vec![]));
        assert_eq!(probes.due(start + INTERVAL), (vec![address], vec![]));
        assert!(!probes.is_clear(address));
        assert_eq!(probes.due(start + INTERVAL * 2), (vec![], vec![address]));
        assert!(probes.is_clear(address) && probes.next().is_none());
    }

    #[test]
    fn one_that_a_foreign_host_has_is_not_ours_until_that_is_silent() {
        let start = lodestone_runtime::clock::now();
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        let mut probes = Probes::default();
        probes.begin(start, address);
        probes.due(start);
        assert!(!probes.foreign(start, address, FOREIGN));
        assert_eq!((probes.taken_by(address), probes.conflicts()), (Some(FOREIGN), 1));
        let later = start + RETRY;
        assert_eq!(probes.due(later), (vec![address], vec![]));
        probes.foreign(later, address, FOREIGN);
        let later = later + RETRY;
        for step in 0..3 {
            probes.due(later + INTERVAL * step);
        }
        assert!(probes.is_clear(address));
    }

    #[test]
    fn what_is_ours_is_defended_now_and_then() {
        let start = lodestone_runtime::clock::now();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut probes = Probes::default();
        assert!(probes.foreign(start, address, FOREIGN));
        assert!(!probes.foreign(start + Duration::from_secs(9), address, FOREIGN));
        assert!(probes.foreign(start + Duration::from_secs(10), address, FOREIGN));
        assert!(probes.is_clear(address));
    }
}
