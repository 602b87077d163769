//! Rivals: other nodes that answer for addresses of this node, as the wire shows.
//!
//! After a change of owner the former owner may answer for a moment longer. So a node is a rival
//! only if it still answers a while after it was first seen. This node asks, to find out.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{Ownership, address_state::Rival};
use crate::{context::Turn, types::NodeName, wire::message::Message};

/// How long a node must go on answering until it is a rival.
const RIVAL_GRACE: Duration = Duration::from_secs(5);

/// How long a node may be silent and still be the same rival.
const RIVAL_MEMORY: Duration = Duration::from_secs(30);

/// What follows from a sighting of a possible rival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RivalStanding {
    /// It is seen for the first time.
    New,
    /// It may only be late.
    Unconfirmed,
    /// It answers for good.
    Confirmed,
}

impl Ownership {
    /// Records that another node answers for an address that this node owns.
    pub(crate) fn note_rival(&mut self, now: Instant, address: IpAddr, node: &NodeName) -> RivalStanding {
        let state = self.addresses.entry(address).or_default();
        let known = state.rival.as_mut();
        let Some(rival) = known.filter(|rival| rival.node == *node && now < rival.last + RIVAL_MEMORY) else {
            state.rival = Some(Rival {
                node: node.clone(),
                first: now,
                last: now,
            });
            return RivalStanding::New;
        };
        rival.last = now;
        // mutation: rival-at-first-sight
        if now < rival.first + RIVAL_GRACE {
            RivalStanding::Unconfirmed
        } else {
            RivalStanding::Confirmed
        }
    }

    /// When the next possible rival has answered for long enough, if it still does.
    pub(crate) fn next_rival_probe(&self, now: Instant) -> Option<Instant> {
        let rivals = self.addresses.values().filter_map(|state| state.rival.as_ref());
        rivals
            .map(|rival| rival.first + RIVAL_GRACE)
            .filter(|due| *due > now)
            .min()
    }

    /// The addresses of this node that have a rival, confirmed or not.
    pub(crate) fn contested(&self, now: Instant, me: &NodeName) -> Vec<IpAddr> {
        let contested = self.addresses.iter().filter(|(address, state)| {
            let rival = state.rival.as_ref();
            // mutation: contested-not-probed
            rival.is_some_and(|rival| now < rival.last + RIVAL_MEMORY) && self.claims.owner(**address) == Some(me)
        });
        contested.map(|(address, _)| *address).collect()
    }

    /// Leaves an address to a rival whose messages do not arrive, and tells everybody.
    pub(crate) fn concede(&mut self, turn: &mut Turn<'_>, address: IpAddr, rival: &NodeName) {
        if let Some(state) = self.addresses.get_mut(&address) {
            state.rival = None;
        }
        if let Some(claim) = self.claims.concede(turn.now, address, rival) {
            turn.outbox
                .broadcast(&Message::RelayedClaims(vec![(rival.clone(), claim)]));
        }
        turn.request_review();
    }
}
