//! Counters of one speaker, for metrics.

use std::{collections::BTreeMap, net::IpAddr};

use crate::wire::FrameKind;

/// How many times each thing has happened since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Takeovers by this node, by [`OwnershipCause::label`](crate::OwnershipCause::label).
    pub acquisitions: BTreeMap<&'static str, u64>,
    /// Watched peers marked suspect.
    pub suspects: u64,
    /// Watched peers marked failed.
    pub failures: u64,
    /// Reachability checks begun.
    pub reachability_checks: u64,
    /// Addresses that this node began to answer for as a deputy.
    pub deputy_activations: u64,
    /// Frames about each address that this node announces or has announced.
    pub traffic: BTreeMap<IpAddr, AddressTraffic>,
    /// Malformed frames.
    pub malformed: MalformedFrames,
}

impl Stats {
    /// Forgets the frames about addresses that no longer exist.
    pub(crate) fn retain_addresses(&mut self, exists: impl Fn(&IpAddr) -> bool) {
        self.traffic.retain(|address, _| exists(address));
    }
}

/// Frames about one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressTraffic {
    /// Requests received.
    pub requests: u64,
    /// Replies sent.
    pub responses: u64,
    /// Gratuitous ARP packets and unsolicited NAs sent.
    pub gratuitous: u64,
}

/// Malformed frames of each protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MalformedFrames {
    /// ARP frames.
    pub arp: u64,
    /// NDP frames.
    pub ndp: u64,
}

impl MalformedFrames {
    pub(crate) const fn count(&mut self, kind: FrameKind) {
        let counter = match kind {
            FrameKind::Arp => &mut self.arp,
            FrameKind::Ndp => &mut self.ndp,
        };
        *counter = counter.saturating_add(1);
    }
}

/// Counts one more.
pub(crate) const fn increment(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
