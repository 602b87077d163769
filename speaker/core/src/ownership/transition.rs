//! Applies a new set of owned addresses, and tells the other nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::{
    Ownership,
    case::{Case, Decision},
    eligibility::Eligibility,
    keep_earlier,
    retransmit::{broadcast_claims, repeat_release},
    standing::standing,
};
use crate::{
    context::Turn,
    event::Event,
    ineligibility::IneligibilityReason,
    lan::{Announcement, Lan},
    output::OwnedAddress,
    settings::DeputyMode,
    stats::increment,
    types::NodeName,
    wire::message::{CLAIMS_PER_MESSAGE, Claim, Message},
};

/// How long a node that is no longer eligible goes on announcing an address while no other node
/// does.
const LINGER: Duration = Duration::from_secs(30);

/// How this node announces the address.
pub(super) fn announcement(case: Case<'_>, eligibility: &Eligibility) -> Announcement {
    let restricted = eligibility.restricted;
    Announcement {
        owned: OwnedAddress {
            address: case.address,
            services: case.snapshot.service_names(case.address),
            interfaces: restricted.then(|| eligibility.interfaces.iter().cloned().collect()),
            co_owners: BTreeSet::new(),
        },
        ports: case
            .view
            .one_per_segment(case.view.around.node.ports_named(&eligibility.interfaces)),
    }
}

impl Ownership {
    /// Goes on announcing an address for which this node is no longer eligible, until another
    /// eligible node announces it.
    pub(super) fn linger(&mut self, case: Case<'_>, owned: &BTreeMap<IpAddr, Announcement>, decision: &mut Decision) {
        let (now, address, me) = (case.now(), case.address, case.me());
        let standing = standing(case.view, address, case.verdicts, me);
        let can_announce = matches!(standing, Some(Err(reason)) if reason != IneligibilityReason::NoInterface);
        let still_ours = self.claims.owner(address) == Some(me);
        let others = case
            .verdicts
            .iter()
            .any(|(node, verdict)| node != me && verdict.is_ok());
        let before = owned.get(&address).filter(|_| can_announce && still_ours && others);
        let Some(before) = before.cloned() else {
            if let Some(state) = self.addresses.get_mut(&address) {
                state.lingering_since = None;
            }
            return;
        };
        let state = self.addresses.entry(address).or_default();
        let until = *state.lingering_since.get_or_insert(now) + LINGER;
        if now < until {
            keep_earlier(&mut decision.recheck, Some(until));
            decision.announce.insert(address, before);
        }
    }

    /// This node has stopped announcing these addresses: tells their new owners, and everybody
    /// which of them nobody owns.
    pub(crate) fn give_up(&mut self, turn: &mut Turn<'_>, lost: &[IpAddr]) {
        let me = &turn.context.me;
        let mut by_owner: BTreeMap<NodeName, Vec<IpAddr>> = BTreeMap::new();
        let (mut released, mut moved) = (Vec::new(), Vec::new());
        for address in lost {
            if let Some(state) = self.addresses.get_mut(address) {
                state.taken = None;
                state.unacknowledged = None;
                state.covered = false;
                state.rival = None;
            }
            let Some(record) = self.claims.get(*address).cloned() else {
                continue;
            };
            // Without Services the address needs no owner. A node that sees them go later than this
            // one must not take it.
            if record.is_from_earlier_use_by(me) {
                continue;
            }
            let claim = record.claim(*address);
            if record.node == *me {
                self.claims.release(me, claim);
                released.push(claim);
                let state = self.addresses.entry(*address).or_default();
                // mutation: release-not-repeated
                state.release = Some(repeat_release(turn.now));
            } else {
                let state = self.addresses.entry(*address).or_default();
                state.yielded = Some((record.node.clone(), turn.now));
                moved.push((record.node.clone(), claim));
                by_owner.entry(record.node).or_default().push(*address);
            }
        }
        // A deputy that always answers for this node must not wait until it hears the new owner.
        if turn.context.settings.deputy == DeputyMode::Always {
            for chunk in moved.chunks(CLAIMS_PER_MESSAGE) {
                turn.outbox.broadcast(&Message::RelayedClaims(chunk.to_vec()));
            }
        }
        for chunk in released.chunks(CLAIMS_PER_MESSAGE) {
            turn.outbox.broadcast(&Message::Released(chunk.to_vec()));
        }
        for (node, addresses) in by_owner {
            for chunk in addresses.chunks(CLAIMS_PER_MESSAGE) {
                turn.outbox.send(&node, Message::Yielded(chunk.to_vec()));
            }
        }
        self.arm_retransmission(turn);
    }

    /// The own claims to these addresses.
    pub(crate) fn own_claims(&self, me: &NodeName, among: impl Fn(IpAddr) -> bool) -> Vec<Claim> {
        let mut claims = self.claims.of(me);
        claims.retain(|claim| among(claim.address));
        claims
    }

    /// Reports how this node became the owner of these addresses.
    pub(crate) fn report_taken(&self, turn: &mut Turn<'_>, gained: &[Claim], lan: &Lan) {
        for claim in gained {
            let Some(taken) = self.taken(claim.address).cloned() else {
                continue;
            };
            increment(turn.stats.acquisitions.entry(taken.cause.label()).or_default());
            let announcement = lan.owned().get(&claim.address);
            let services = announcement.map(|announcement| announcement.owned.services.clone());
            turn.outbox.push_event(Event::OwnershipTaken {
                address: claim.address,
                services: services.unwrap_or_default(),
                to: turn.context.me.clone(),
                from: taken.from,
                cause: taken.cause,
            });
        }
    }

    /// Conflict detection has cleared these addresses: tells everybody.
    pub(crate) fn confirm(&mut self, turn: &mut Turn<'_>, cleared: &[IpAddr]) {
        let me = &turn.context.me;
        let confirmed = cleared.iter().filter_map(|address| self.claims.confirm(me, *address));
        let confirmed: Vec<Claim> = confirmed.collect();
        broadcast_claims(turn, &confirmed);
    }
}
