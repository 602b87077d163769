//! Conflict detection for owned addresses: RFC 5227 (ARP) and RFC 4862, section 5.4 (DAD).
//!
//! A speaker probes an address before it answers for it the first time. Afterwards it defends the
//! address against foreign hosts, which are hosts outside of the cluster. This module decides; the
//! caller sends the probes and the announcements.
//!
//! # States of an address
//!
//! ```text
//!                     start_probing            15 ms after the second probe
//!  ┌────────────────┐             ┌─────────┐  without a foreign claim
//!  │ clear          ├────────────►│ probing ├──────────────► clear
//!  │ (also unknown) │             └┬─▲──┬─▲─┘
//!  └────────────────┘ first foreign│ │  │ │ 10 s after the latest
//!                           probe  │ │  │ │ foreign claim
//!                       ┌──────────▼┐│ ┌▼─┴────┐
//!                       │ deferred  ├┘ │in use │
//!                       └───────────┘  └───────┘
//!                     for 5 s, once   foreign claim (from deferred, too)
//! ```
//!
//! - *clear*: the speaker may answer. It answers a foreign claim with a defence, at most every 10 s
//!   (RFC 5227, section 2.4). An address that is not recorded here is clear.
//! - *probing*: the address is tentative. Two probes go out, 15 ms apart (RFC 5227, section 2.1.1).
//! - *deferred*: a foreign host probes for the address, too. The speaker waits until that host
//!   uses the address, or could have. Switches probe as well, and some never stop: so an address
//!   is deferred only once before it is clear, and later foreign probes change nothing.
//! - *in use*: another host uses the address: a foreign one, or a node whose speaker is not heard.
//!   It stays tentative until two probes remain unanswered.
//!
//! With `--conflict-detection=off` every address is clear at once, without a probe, and foreign
//! hosts change nothing.
//!
//! `start_probing` leads to *probing* and `forget` to *clear* from every state.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{settings::ConflictDetectionMode, types::MacAddr};

/// Number of probes before an address is clear.
const PROBES: u32 = 2;
/// Time to wait for an answer after each probe. RFC 5227, section 1.1, waits for seconds, which
/// suits hosts that boot. A host that answers later is found when it does.
const INTERVAL: Duration = Duration::from_millis(15);
/// Time from the latest foreign claim to the next probe of an address in use.
const RETRY: Duration = Duration::from_secs(10);
/// How long foreign probes hold an address back, in total. A host that follows RFC 5227 uses the
/// address, or defends it against the next probe, about then.
const DEFERRAL: Duration = Duration::from_secs(5);
/// Minimum time between two defences of an address (RFC 5227, section 2.4).
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// The state of an address that is not clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TentativeState {
    /// `sent` probes went out; the next step is at `next`.
    Probing { sent: u32, next: Instant },
    /// A foreign host probes for the address; probing resumes at `until`.
    Deferred { until: Instant },
    /// The host `by`, foreign or a node that is not heard, has the address; probing resumes at
    /// `until`.
    InUse { by: MacAddr, until: Instant },
}

/// Whether to defend an address now, with a gratuitous announcement (RFC 5227, section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defend {
    /// Announce the address now.
    Yes,
    /// Do nothing: the address is tentative, or it was defended recently.
    No,
}

/// What to do after a timeout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProbeRound {
    /// Addresses to send one probe for.
    pub probe: Vec<IpAddr>,
    /// Addresses that have just become clear.
    pub clear: Vec<IpAddr>,
}

/// Conflict detection for all owned addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConflictDetector {
    mode: ConflictDetectionMode,
    /// The tentative addresses. An address that is missing here is clear.
    states: BTreeMap<IpAddr, TentativeState>,
    /// The tentative addresses that a foreign probe has deferred.
    deferred: BTreeSet<IpAddr>,
    /// When each address was defended last.
    defended: BTreeMap<IpAddr, Instant>,
    conflicts: u64,
}

impl ConflictDetector {
    /// Creates conflict detection that knows of no address.
    #[must_use]
    pub(crate) fn new(mode: ConflictDetectionMode) -> Self {
        Self {
            mode,
            ..Self::default()
        }
    }

    /// Whether foreign hosts count.
    #[must_use]
    pub(crate) fn is_on(&self) -> bool {
        self.mode == ConflictDetectionMode::On
    }

    /// Makes `address` tentative and starts to probe it. Without conflict detection, it is clear
    /// at the next call of [`Self::poll_due`].
    pub(crate) fn start_probing(&mut self, now: Instant, address: IpAddr) {
        let sent = if self.is_on() { 0 } else { PROBES };
        self.states.insert(address, TentativeState::Probing { sent, next: now });
    }

    /// Forgets `address`, because this node no longer owns it.
    pub(crate) fn forget(&mut self, address: IpAddr) {
        self.states.remove(&address);
        self.deferred.remove(&address);
        self.defended.remove(&address);
    }

    /// Whether the speaker may answer for `address`.
    #[must_use]
    pub(crate) fn is_clear(&self, address: IpAddr) -> bool {
        !self.states.contains_key(&address)
    }

    /// Returns the other host that uses `address`: a foreign one, or a node that is not heard.
    #[must_use]
    pub(crate) fn other_user(&self, address: IpAddr) -> Option<MacAddr> {
        match self.states.get(&address) {
            Some(TentativeState::InUse { by, .. }) => Some(*by),
            _ => None,
        }
    }

    /// Returns every address in use with the host that uses it.
    pub(crate) fn other_users(&self) -> impl Iterator<Item = (IpAddr, MacAddr)> {
        self.states.iter().filter_map(|(address, state)| match state {
            TentativeState::InUse { by, .. } => Some((*address, *by)),
            TentativeState::Probing { .. } | TentativeState::Deferred { .. } => None,
        })
    }

    /// Returns the number of conflicts since the start: addresses that another host uses, and
    /// defences.
    #[must_use]
    pub(crate) const fn conflict_count(&self) -> u64 {
        self.conflicts
    }

    /// Handles that the host `by` uses `address`. Returns whether to defend it now.
    ///
    /// A tentative address becomes in use, and is not defended.
    pub(crate) fn handle_other_use(&mut self, now: Instant, address: IpAddr, by: MacAddr) -> Defend {
        if self.is_clear(address) {
            let is_due = self
                .defended
                .get(&address)
                .is_none_or(|last| now >= *last + DEFEND_INTERVAL);
            if !is_due {
                return Defend::No;
            }
            self.conflicts = self.conflicts.saturating_add(1);
            self.defended.insert(address, now);
            return Defend::Yes;
        }
        if self.other_user(address).is_none() {
            self.conflicts = self.conflicts.saturating_add(1);
        }
        let until = now + RETRY;
        self.states.insert(address, TentativeState::InUse { by, until });
        Defend::No
    }

    /// Handles a foreign probe for `address`. The first one defers an address that is being probed.
    pub(crate) fn handle_foreign_probe(&mut self, now: Instant, address: IpAddr) {
        if let Some(state @ TentativeState::Probing { .. }) = self.states.get_mut(&address)
            && self.deferred.insert(address)
        {
            *state = TentativeState::Deferred { until: now + DEFERRAL };
        }
    }

    /// Returns when [`Self::poll_due`] has something to do.
    #[must_use]
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let due = |state: &TentativeState| match state {
            TentativeState::Probing { next, .. } => *next,
            TentativeState::Deferred { until } | TentativeState::InUse { until, .. } => *until,
        };
        self.states.values().map(due).min()
    }

    /// Advances every address whose time has come. Returns the probes to send and the addresses
    /// that became clear.
    pub(crate) fn poll_due(&mut self, now: Instant) -> ProbeRound {
        let mut round = ProbeRound::default();
        for (address, state) in &mut self.states {
            match *state {
                TentativeState::Probing { sent, next } if next <= now && sent >= PROBES => round.clear.push(*address),
                TentativeState::Probing { sent, next } if next <= now => {
                    let (sent, next) = (sent + 1, now + INTERVAL);
                    *state = TentativeState::Probing { sent, next };
                    round.probe.push(*address);
                }
                TentativeState::Deferred { until } | TentativeState::InUse { until, .. } if until <= now => {
                    let next = now + INTERVAL;
                    *state = TentativeState::Probing { sent: 1, next };
                    round.probe.push(*address);
                }
                _ => {}
            }
        }
        for address in &round.clear {
            self.states.remove(address);
            self.deferred.remove(address);
        }
        round
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREIGN: MacAddr = MacAddr(2, 9, 9, 9, 9, 9);

    fn nothing() -> ProbeRound {
        ProbeRound::default()
    }

    fn probe(address: IpAddr) -> ProbeRound {
        ProbeRound {
            probe: vec![address],
            ..ProbeRound::default()
        }
    }

    fn clear(address: IpAddr) -> ProbeRound {
        ProbeRound {
            clear: vec![address],
            ..ProbeRound::default()
        }
    }

    #[test]
    fn address_is_clear_after_two_unanswered_probes() {
        let start = crate::testing::start();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut detector = ConflictDetector::default();
        assert!(detector.is_clear(address), "an unknown address is clear");
        detector.start_probing(start, address);
        assert_eq!(detector.poll_due(start), probe(address));
        assert_eq!(detector.poll_due(start), nothing());
        assert_eq!(detector.poll_due(start + INTERVAL), probe(address));
        assert!(!detector.is_clear(address));
        assert_eq!(detector.poll_due(start + INTERVAL * 2), clear(address));
        assert!(detector.is_clear(address) && detector.next_timeout().is_none());
    }

    #[test]
    fn address_in_use_is_clear_once_the_foreign_host_is_silent() {
        let start = crate::testing::start();
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        let mut detector = ConflictDetector::default();
        detector.start_probing(start, address);
        detector.poll_due(start);
        assert_eq!(detector.handle_other_use(start, address, FOREIGN), Defend::No);
        assert_eq!(
            (detector.other_user(address), detector.conflict_count()),
            (Some(FOREIGN), 1)
        );
        let later = start + RETRY;
        assert_eq!(detector.poll_due(later), probe(address));
        detector.handle_other_use(later, address, FOREIGN);
        let later = later + RETRY;
        for step in 0..3 {
            detector.poll_due(later + INTERVAL * step);
        }
        assert!(detector.is_clear(address));
    }

    #[test]
    fn foreign_probes_defer_an_address_once() {
        let start = crate::testing::start();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut detector = ConflictDetector::default();
        detector.start_probing(start, address);
        detector.poll_due(start);
        detector.handle_foreign_probe(start, address);
        detector.handle_foreign_probe(start + DEFERRAL / 2, address);
        assert_eq!(detector.next_timeout(), Some(start + DEFERRAL));
        assert_eq!((detector.other_user(address), detector.conflict_count()), (None, 0));
        let resumed = start + DEFERRAL;
        assert_eq!(detector.poll_due(resumed), probe(address));
        detector.handle_foreign_probe(resumed, address);
        detector.poll_due(resumed + INTERVAL);
        assert_eq!(detector.poll_due(resumed + INTERVAL * 2), clear(address));
    }

    #[test]
    fn deferred_address_is_in_use_once_the_other_host_uses_it() {
        let start = crate::testing::start();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut detector = ConflictDetector::default();
        detector.start_probing(start, address);
        detector.handle_foreign_probe(start, address);
        let later = start + DEFERRAL / 2;
        detector.handle_other_use(later, address, FOREIGN);
        detector.handle_foreign_probe(later, address);
        assert_eq!(detector.other_user(address), Some(FOREIGN));
        assert_eq!(detector.next_timeout(), Some(later + RETRY));
    }

    #[test]
    fn clear_address_is_defended_at_most_every_ten_seconds() {
        let start = crate::testing::start();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut detector = ConflictDetector::default();
        let mut claim_after =
            |seconds| detector.handle_other_use(start + Duration::from_secs(seconds), address, FOREIGN);
        assert_eq!(claim_after(0), Defend::Yes);
        assert_eq!(claim_after(9), Defend::No);
        assert_eq!(claim_after(10), Defend::Yes);
        assert!(detector.is_clear(address));
    }
}
