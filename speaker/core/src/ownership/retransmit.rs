//! Retransmits a claim until the previous owner acknowledges it with `Yielded`. Until then that
//! owner goes on answering. Repeats a release, which nobody acknowledges.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    Ownership,
    address_state::{RepeatedRelease, UnacknowledgedClaim},
};
use crate::{
    context::Turn,
    settings::DeputyMode,
    timers::Timer,
    types::NodeName,
    wire::message::{CLAIMS_PER_MESSAGE, Claim, Message},
};

/// How many times a claim is retransmitted, and the interval. At 30 % loss all copies are lost once
/// in a thousand times; then anti-entropy repeats the claim.
const COPIES: u32 = 5;
const INTERVAL: Duration = Duration::from_millis(100);

/// Extra retransmissions after the acknowledgement for an always-on deputy, which does not
/// acknowledge.
const COPIES_FOR_DEPUTY: u32 = 2;

/// How often a release is repeated. Anti-entropy repeats it too.
const RELEASE_COPIES: u32 = 3;

/// Broadcasts some claims of this node. They are not its full list, and so no answer to a speaker
/// that listens.
pub(super) fn broadcast_claims(turn: &mut Turn<'_>, claims: &[Claim]) {
    for chunk in claims.chunks(CLAIMS_PER_MESSAGE) {
        let claims = chunk.to_vec();
        turn.outbox.broadcast(&Message::Claims { claims, last: false });
    }
}

/// The repetitions of a release that is broadcast now.
pub(super) fn repeat_release(now: Instant) -> RepeatedRelease {
    RepeatedRelease {
        copies_left: RELEASE_COPIES,
        due: now + INTERVAL,
    }
}

impl Ownership {
    /// Broadcasts new claims, and awaits the acknowledgement of their previous owners.
    pub(crate) fn publish(&mut self, turn: &mut Turn<'_>, gained: &[Claim]) {
        broadcast_claims(turn, gained);
        for claim in gained {
            let Some(state) = self.addresses.get_mut(&claim.address) else {
                continue;
            };
            let previous = state.taken.as_ref().and_then(|taken| taken.from.clone());
            if let Some(previous_owner) = previous {
                state.unacknowledged = Some(UnacknowledgedClaim {
                    previous_owner,
                    copies_left: COPIES,
                    due: turn.now + INTERVAL,
                });
            }
        }
        self.arm_retransmission(turn);
    }

    /// `node` acknowledges claims of this node. Only the acknowledgement of the previous owner
    /// counts: another node may have owned the address as well.
    pub(crate) fn handle_yielded(&mut self, turn: &mut Turn<'_>, node: &NodeName, addresses: &[IpAddr]) {
        let copies_left = match turn.context.settings.deputy {
            DeputyMode::Always => COPIES_FOR_DEPUTY,
            DeputyMode::OnSuspect | DeputyMode::Off => 0,
        };
        for address in addresses {
            let Some(state) = self.addresses.get_mut(address) else {
                continue;
            };
            let claim = state.unacknowledged.as_mut();
            if let Some(claim) = claim.filter(|claim| claim.previous_owner == *node) {
                claim.copies_left = claim.copies_left.min(copies_left);
            }
            state.unacknowledged = state.unacknowledged.take().filter(|claim| claim.copies_left > 0);
        }
        self.arm_retransmission(turn);
    }

    /// Retransmits the claims that are due: to the previous owner, or to everybody if some deputy
    /// always answers for it.
    pub(crate) fn retransmit_claims(&mut self, turn: &mut Turn<'_>) {
        if !turn.timers.is_due(Timer::Retransmission, turn.now) {
            return;
        }
        self.repeat_releases(turn);
        let me = &turn.context.me;
        let mut due: BTreeMap<NodeName, Vec<Claim>> = BTreeMap::new();
        for (address, state) in &mut self.addresses {
            let Some(claim) = state.unacknowledged.as_mut().filter(|claim| claim.due <= turn.now) else {
                continue;
            };
            (claim.copies_left, claim.due) = (claim.copies_left - 1, turn.now + INTERVAL);
            let record = self.claims.get(*address).filter(|record| record.node == *me);
            let claims = due.entry(claim.previous_owner.clone()).or_default();
            claims.extend(record.map(|record| record.claim(*address)));
            if claim.copies_left == 0 {
                state.unacknowledged = None;
            }
        }
        self.arm_retransmission(turn);
        if turn.context.settings.deputy == DeputyMode::Always {
            let claims: Vec<Claim> = due.into_values().flatten().collect();
            return broadcast_claims(turn, &claims);
        }
        for (node, claims) in due {
            for chunk in claims.chunks(CLAIMS_PER_MESSAGE) {
                let claims = chunk.to_vec();
                turn.outbox.send(&node, Message::Claims { claims, last: false });
            }
        }
    }

    /// Broadcasts the releases that are due again.
    fn repeat_releases(&mut self, turn: &mut Turn<'_>) {
        let mut again = BTreeSet::new();
        for (address, state) in &mut self.addresses {
            let Some(release) = state.release.as_mut().filter(|release| release.due <= turn.now) else {
                continue;
            };
            (release.copies_left, release.due) = (release.copies_left - 1, turn.now + INTERVAL);
            if release.copies_left == 0 {
                state.release = None;
            }
            again.insert(*address);
        }
        let mut released = self.claims.released_by(&turn.context.me);
        released.retain(|claim| again.contains(&claim.address));
        for some in released.chunks(CLAIMS_PER_MESSAGE) {
            turn.outbox.broadcast(&Message::Released(some.to_vec()));
        }
    }

    /// Acknowledges claims of `node` again, if they are retransmissions: it may not have received
    /// the acknowledgement.
    pub(crate) fn acknowledge_again(&self, turn: &mut Turn<'_>, node: &NodeName, claims: &[Claim]) {
        let until = |at: Instant| at + INTERVAL * (COPIES + 1);
        let has_yielded = |address: &IpAddr| {
            let yielded = self.addresses.get(address).and_then(|state| state.yielded.as_ref());
            let to_node = yielded.is_some_and(|(to, at)| to == node && turn.now <= until(*at));
            to_node && self.claims.owner(*address) == Some(node)
        };
        let addresses = claims.iter().map(|claim| claim.address);
        let again: Vec<IpAddr> = addresses.filter(has_yielded).collect();
        // mutation: acknowledgement-not-repeated
        if !again.is_empty() {
            turn.outbox.send(node, Message::Yielded(again));
        }
    }

    /// Whether the former owner of an address has not acknowledged this node's claim yet.
    #[cfg(test)]
    pub(crate) fn awaits_acknowledgement(&self, address: IpAddr) -> bool {
        self.addresses
            .get(&address)
            .is_some_and(|state| state.unacknowledged.is_some())
    }

    /// Arms the timer for the next retransmission.
    pub(crate) fn arm_retransmission(&self, turn: &mut Turn<'_>) {
        let due = self.addresses.values().flat_map(|state| {
            let claim = state.unacknowledged.as_ref().map(|claim| claim.due);
            claim.into_iter().chain(state.release.map(|release| release.due))
        });
        turn.timers.set(Timer::Retransmission, due.min());
    }
}
