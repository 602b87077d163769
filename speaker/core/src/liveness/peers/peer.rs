//! What is known of one other speaker.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    core::link::Link,
    wire::message::{Network, NodeName},
};

/// How long the word of another one holds that a node is cut off where it announces.
const TOLD_ON_LAN: Duration = Duration::from_millis(3500);

/// How long a doubt that another node has told of holds.
const TOLD_DOUBT: Duration = Duration::from_millis(500);

/// By which way a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Between the addresses that the nodes have in Kubernetes.
    Node,
    /// Over a network that addresses are announced on, where that is another.
    Lan,
}

/// How alive a speaker seems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is heard.
    Well,
    /// It is late.
    Doubted,
    /// It is silent, since then.
    Suspected(Instant),
}

/// That a speaker is about to end, or has ended with notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Since when.
    pub since: Instant,
    /// Whether others are to take what it owns.
    pub handover: bool,
}

/// Another speaker.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) boot: u64,
    /// The highest number of its messages, and which of the 64 before it have come: two ways may change the order.
    pub(super) sequence: u64,
    pub(super) before: u64,
    /// When it was last heard, by whatever way.
    pub(super) last: Instant,
    /// Since when it has not said what it owns: it has just been started.
    pub(super) silent_on_claims: Option<Instant>,
    pub(super) leaving: Option<Leaving>,
    /// All networks that it has told of, and of these the ones with a carrier.
    pub(super) networks: Option<Vec<Network>>,
    pub(super) connected: Vec<Network>,
    pub(super) node: Watched,
    pub(super) lan: Watched,
    /// Others that do not hear it: since when, and when they have last said so where they do not hear it only where it announces.
    pub(super) told: BTreeMap<NodeName, (Instant, Option<Instant>)>,
    pub(super) told_doubt: Option<Instant>,
    /// Whether its node has said that nobody listens there, since it was last heard.
    pub(super) refused: bool,
    /// Since when nobody that this node hears watches it, and nothing was heard of it either.
    pub(super) unwatched: Option<Instant>,
    /// When it was last heard though nobody seemed to watch it: then that means nothing.
    pub(super) heard_unwatched: Option<Instant>,
}

/// A way that is watched, if heartbeats are expected on it.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) link: Link,
    pub(super) expected: bool,
}

impl Watched {
    fn new(now: Instant) -> Self {
        Self {
            link: Link::new(now),
            expected: false,
        }
    }

    pub(super) fn phase(&self, now: Instant) -> Phase {
        let from = self.link.suspected_from();
        if now >= from {
            Phase::Suspected(from)
        } else if now >= self.link.doubted_from() {
            Phase::Doubted
        } else {
            Phase::Well
        }
    }
}

impl Peer {
    pub(super) fn new(now: Instant, address: IpAddr, boot: u64, sequence: u64) -> Self {
        Self {
            address,
            boot,
            sequence,
            before: 0,
            last: now,
            silent_on_claims: Some(now),
            leaving: None,
            networks: None,
            connected: Vec::new(),
            node: Watched::new(now),
            lan: Watched::new(now),
            told: BTreeMap::new(),
            told_doubt: None,
            refused: false,
            unwatched: None,
            heard_unwatched: None,
        }
    }

    /// Whether a message with this number has not come yet.
    pub(super) fn accept(&mut self, sequence: u64) -> bool {
        if let Some(ahead) = sequence.checked_sub(self.sequence).filter(|ahead| *ahead > 0) {
            let shift = u32::try_from(ahead).unwrap_or(u32::MAX);
            // The highest until now takes its place among those before.
            self.before = self.before.checked_shl(shift).unwrap_or(0) | 1u64.checked_shl(shift - 1).unwrap_or(0);
            self.sequence = sequence;
            return true;
        }
        let behind = u32::try_from(self.sequence - sequence).unwrap_or(u32::MAX);
        let bit = behind
            .checked_sub(1)
            .and_then(|place| 1u64.checked_shl(place))
            .unwrap_or(0);
        let is_new = bit != 0 && self.before & bit == 0;
        self.before |= bit;
        is_new
    }

    /// The way that matters for what it announces: the network that it announces on, where heartbeats come over it.
    pub(super) const fn way(&self) -> &Watched {
        if self.lan.expected { &self.lan } else { &self.node }
    }

    /// Since when others say that they do not hear it.
    pub(super) fn told(&self, now: Instant) -> impl Iterator<Item = Instant> {
        let holds = move |said: &Instant| now < *said + TOLD_ON_LAN;
        let all = self.told.values();
        all.filter(move |(_, said)| said.as_ref().is_none_or(holds))
            .map(|(since, _)| *since)
    }

    pub(super) fn phase(&self, now: Instant, cycle: Duration) -> Phase {
        let way = self.way();
        if way.expected {
            return match way.phase(now) {
                Phase::Well if self.is_told_doubted(now) => Phase::Doubted,
                phase => phase,
            };
        }
        let silent = self.last + cycle * 4;
        let told = self.told(now).min().or(self.unwatched);
        match told.or_else(|| (now >= silent).then_some(silent)) {
            Some(since) => Phase::Suspected(since),
            None if self.is_told_doubted(now) => Phase::Doubted,
            None => Phase::Well,
        }
    }

    /// Whether its node, or another one, has said that it may be away, since it was last heard.
    fn is_told_doubted(&self, now: Instant) -> bool {
        self.refused || self.told_doubt.is_some_and(|told| now < told + TOLD_DOUBT)
    }

    /// Whether it is heard by any way.
    pub(super) fn is_heard(&self, now: Instant, cycle: Duration) -> bool {
        let by_node = self.node.expected && !matches!(self.node.phase(now), Phase::Suspected(_));
        by_node || !matches!(self.phase(now, cycle), Phase::Suspected(_))
    }
}
