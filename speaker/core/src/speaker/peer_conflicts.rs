//! Another node of the cluster uses an address that this node owns.
//!
//! Claims settle who owns an address, as long as speakers hear each other. This is about the
//! others: the wire shows what their messages do not.

use std::{net::IpAddr, time::Instant};

use super::Speaker;
use crate::{
    borrow::{turn, view},
    event::PeerConflictResponse,
    lan::AddressUse,
    ownership::{RivalStanding, ranking::ranks_before},
    timers::Timer,
    types::NodeName,
};

impl Speaker {
    /// Handles that a peer uses an address with its own MAC.
    pub(super) fn handle_peer_use(&mut self, now: Instant, node: &NodeName, seen: &AddressUse) {
        let is_ours = self.lan.owned().contains_key(&seen.address)
            && self.ownership.claims().owner(seen.address) == Some(&self.context.me);
        if !is_ours || !self.lan.conflicts().is_on() {
            return;
        }
        let is_heard = view!(self, now).is_heard(node);
        if self.lan.conflicts().is_clear(seen.address) {
            self.handle_rival(now, node, seen, is_heard);
        } else if !is_heard {
            self.lan.hold_back(turn!(self, now), node, seen);
        }
    }

    /// Handles that a peer uses an address that this node announces.
    ///
    /// Of two owners whose messages do not arrive, the one that ranks first stays: both know that
    /// rule. The other one must see it on the wire, and so this node announces the address.
    fn handle_rival(&mut self, now: Instant, node: &NodeName, seen: &AddressUse, is_heard: bool) {
        let (turn, address) = (turn!(self, now), seen.address);
        let standing = self.ownership.note_rival(now, address, node);
        if standing == RivalStanding::New {
            turn.timers.set(Timer::RivalProbe, self.ownership.next_rival_probe(now));
        }
        // mutation: new-rival-hears-nothing
        if standing == RivalStanding::New && !is_heard {
            self.lan.announce(turn, address);
        }
        if standing != RivalStanding::Confirmed {
            return;
        }
        // mutation: kernel-taken-for-an-owner
        // mutation: both-rivals-stay
        let response = if is_heard {
            PeerConflictResponse::IgnoresKernel
        } else if ranks_before(address, node.as_str(), self.context.me.as_str()) {
            PeerConflictResponse::StepsDown
        } else {
            PeerConflictResponse::GoesOn
        };
        self.lan.report_peer_conflict(turn, node, seen, response);
        if response == PeerConflictResponse::StepsDown {
            self.ownership.concede(turn, address, node);
        }
    }

    /// Asks a possible rival whether it still answers, once it can be confirmed. Without a request
    /// it may be silent for a minute.
    pub(super) fn probe_rivals_if_due(&mut self, now: Instant) {
        if self.sinks.timers.is_due(Timer::RivalProbe, now) {
            let turn = turn!(self, now);
            turn.timers.set(Timer::RivalProbe, self.ownership.next_rival_probe(now));
            let contested = self.ownership.contested(now, &turn.context.me);
            // mutation: rival-asked-late
            self.lan.probe_contested(turn, &contested);
        }
    }

    /// Handles that a peer probes for an address. If its speaker is not heard, both may be about to
    /// announce it, and the one that ranks first does.
    pub(super) fn handle_peer_probe(&mut self, now: Instant, node: &NodeName, address: IpAddr) {
        let is_heard = view!(self, now).is_heard(node);
        // mutation: peers-probe-together
        if !is_heard && ranks_before(address, node.as_str(), self.context.me.as_str()) {
            self.lan.defer_to_peer(turn!(self, now), address);
        }
    }
}
