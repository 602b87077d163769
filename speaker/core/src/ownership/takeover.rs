//! Takes addresses: those without an owner, and those that this node should own rather than their
//! owner.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Acquisition, Ownership,
    address_state::NoEligibleNode,
    case::{CLAIM_DELAY, Case, Decision, Owner},
    keep_earlier,
    ranking::{Load, rank},
};
use crate::{
    context::Turn,
    event::{Event, OwnershipCause},
    ineligibility::IneligibilityReason,
    settings::{DeputyMode, OwnershipMode},
    types::NodeName,
};

/// How long a node has to be the better owner before it takes the address over.
pub(super) const STABLE_AFTER: Duration = Duration::from_secs(10);

/// How long no node must be eligible before one speaker says so.
const REPORT_DELAY: Duration = Duration::from_secs(2);

/// The back-off of contention doubles up to this power of two.
const LONGEST_BACKOFF: u32 = 8;

impl Case<'_> {
    /// The eligible nodes for the address, the best first. `without` is left out.
    pub(super) fn ranked(&self, load: &Load, without: Option<&NodeName>) -> Vec<&NodeName> {
        // A node that shuts down keeps what nobody else has taken, and takes nothing.
        let shuts_down = self.view.context.shutdown.is_some();
        let stays = |node: &NodeName| !(shuts_down && node == self.me()) && Some(node) != without;
        let verdicts = self.verdicts.iter().filter(|(node, _)| stays(node));
        let eligible = verdicts.filter_map(|(node, verdict)| Some((node, verdict.as_ref().ok()?.weight)));
        rank(self.address, eligible, load)
    }

    fn weight(&self, node: &NodeName) -> Option<u32> {
        let verdict = self.verdicts.get(node)?;
        Some(verdict.as_ref().ok()?.weight)
    }
}

impl Ownership {
    /// Takes an address without an owner, if this node ranks first, or the nodes before it had
    /// their time.
    pub(super) fn elect(&mut self, case: Case<'_>, cause: OwnershipCause, load: &mut Load, decision: &mut Decision) {
        let (now, address) = (case.now(), case.address);
        let is_down = matches!(cause, OwnershipCause::NodeDown | OwnershipCause::SpeakerDown);
        let record = self.claims.get(address);
        let down = record.filter(|_| is_down).map(|record| &record.node);
        let mut order = case.ranked(load, down);
        // In a cluster in which every speaker restarts, only the API server remembers the owner.
        let recorded = self.recorded.as_ref();
        let is_recorded = |node: &NodeName| recorded.is_some_and(|recorded| recorded.contains(now, address, node));
        let last = record.map_or_else(
            || order.iter().copied().find(|node| is_recorded(node)),
            |record| Some(&record.node),
        );
        // All other nodes still take this node for the owner, from the past use of the address. So
        // only this node can begin.
        let comes_back = record.is_some_and(|record| record.is_from_earlier_use_by(case.me()));
        // mutation: former-owner-waits-its-turn
        if comes_back || case.view.context.settings.ownership == OwnershipMode::Sticky {
            order.sort_by_key(|node| last != Some(*node));
        }
        let Some(first) = order.first() else {
            self.forget_unowned(address);
            return;
        };
        load.add(first);
        // A foreign host may have an address that this node did not announce before, and of whose
        // present use no peer has told it.
        // mutation: deaf-speaker-does-not-ask
        let is_certain = is_recorded(case.me()) && !self.hears_nobody(case);
        let tentative = record.map_or(!is_certain, |record| !record.is_proven());
        let position = order.iter().position(|node| *node == case.me());
        let since = self.note_unowned(now, address);
        let Some(position) = position else { return };
        let due = self.claim_due(case, since, position);
        if now < due {
            keep_earlier(&mut decision.recheck, Some(due));
            return;
        }
        self.take(case, cause, tentative);
    }

    /// Notes that an address has no owner although a node is eligible. Returns since when.
    fn note_unowned(&mut self, now: Instant, address: IpAddr) -> Instant {
        let state = self.addresses.entry(address).or_default();
        *state.unowned_since.get_or_insert(now)
    }

    /// Whether no peer is heard, although there should be some. Those peers may be running, and
    /// one of them may own what this node owned before it started.
    fn hears_nobody(&self, case: Case<'_>) -> bool {
        self.available.is_empty() && case.snapshot.nodes.len() > 1
    }

    /// When this node takes an address without an owner, given its place among the eligible nodes.
    fn claim_due(&self, case: Case<'_>, since: Instant, position: usize) -> Instant {
        let due = since + CLAIM_DELAY * u32::try_from(position).unwrap_or(u32::MAX);
        // Another node claims it, is heard, and is not eligible as far as this node knows. If it
        // took the address from this one before, it knows otherwise. One of the two is behind, so
        // each waits longer each time.
        let is_contended = self.claims.get(case.address).is_some_and(|record| {
            record.node != *case.me() && (record.relayed || case.view.peers().is_heard(&record.node, case.now()))
        });
        let state = self.addresses.get(&case.address);
        match state.and_then(|state| state.contention).filter(|_| is_contended) {
            Some(contention) => {
                let factor = 1 << contention.times.min(LONGEST_BACKOFF);
                due.max(contention.last + CLAIM_DELAY.saturating_mul(factor))
            }
            None => due,
        }
    }

    /// Takes an address over from an owner that is present, when this node has been better for a
    /// while.
    pub(super) fn take_over_if_better(&mut self, case: Case<'_>, load: &Load, decision: &mut Decision) {
        let (now, address, me) = (case.now(), case.address, case.me());
        let Some(record) = self.claims.get(address) else { return };
        let (mine, theirs) = (case.weight(me), case.weight(&record.node));
        let preferred = mine.zip(theirs).is_some_and(|(mine, theirs)| mine > theirs);
        let by_hash = case.view.context.settings.ownership == OwnershipMode::Hash && mine.is_some() && mine == theirs;
        let is_first = || case.ranked(load, None).first().is_some_and(|node| *node == me);
        let (is_ours, tentative) = (record.node == *me, !record.is_proven());
        let better = !is_ours && (preferred || by_hash) && is_first();
        if !better {
            if let Some(state) = self.addresses.get_mut(&address) {
                state.better_since = None;
            }
            return;
        }
        let state = self.addresses.entry(address).or_default();
        let due = *state.better_since.get_or_insert(now) + STABLE_AFTER;
        if now >= due {
            let cause = if preferred {
                OwnershipCause::Preferred
            } else {
                OwnershipCause::Hash
            };
            self.take(case, cause, tentative);
        } else {
            keep_earlier(&mut decision.recheck, Some(due));
        }
    }

    /// Others do not hear this node. It takes over from nobody who is present until it has been
    /// heard for a while.
    pub(crate) fn restart_stability(&mut self) {
        // mutation: unheard-node-takes-over
        self.addresses.values_mut().for_each(|state| state.better_since = None);
    }

    pub(super) fn take(&mut self, case: Case<'_>, cause: OwnershipCause, tentative: bool) {
        let (address, me) = (case.address, case.me());
        let recorded = self.recorded.as_ref();
        let was_ours = recorded.is_some_and(|recorded| recorded.contains(case.now(), address, me));
        // A restart of all speakers moves nothing, however uneven the shares are.
        // mutation: restart-of-all-speakers-spreads
        let missing = if was_ours {
            Arc::default()
        } else {
            self.rebalance.missing(case.now())
        };
        let from = self.claims.owner(address).filter(|node| *node != me).cloned();
        self.claims.take(case.now(), me, address, tentative);
        self.forget_recorded(address);
        let state = self.addresses.entry(address).or_default();
        state.unowned_since = None;
        state.better_since = None;
        state.taken = Some(Acquisition { from, cause, missing });
    }

    /// The address has an owner, or no eligible node.
    pub(super) fn forget_unowned(&mut self, address: IpAddr) {
        if let Some(state) = self.addresses.get_mut(&address) {
            state.unowned_since = None;
        }
    }

    /// Reports that no node is eligible, once that has lasted for a while. One of all speakers
    /// reports it. An owner that keeps the address although its speaker is down has a deputy.
    pub(super) fn report_no_eligible_node(
        &mut self,
        turn: &mut Turn<'_>,
        case: Case<'_>,
        owner: &Owner,
        decision: &mut Decision,
    ) {
        let (now, address) = (case.now(), case.address);
        let is_answered = !matches!(owner, Owner::Unowned(_)) && case.view.context.settings.deputy != DeputyMode::Off;
        let reasons: Option<BTreeMap<NodeName, IneligibilityReason>> = case
            .verdicts
            .iter()
            .map(|(node, verdict)| Some((node.clone(), verdict.as_ref().err().copied()?)))
            .collect();
        // mutation: no-eligible-node-although-answered
        let Some(reasons) = reasons.filter(|_| !is_answered) else {
            if let Some(state) = self.addresses.get_mut(&address) {
                state.no_eligible_node = None;
            }
            return;
        };
        let state = self.addresses.entry(address).or_default();
        let no_eligible = state.no_eligible_node.get_or_insert(NoEligibleNode {
            since: now,
            reported: None,
        });
        let due = no_eligible.since + REPORT_DELAY;
        if now < due {
            keep_earlier(&mut decision.recheck, Some(due));
            return;
        }
        if no_eligible.reported.as_ref() == Some(&reasons) {
            return;
        }
        no_eligible.reported = Some(reasons.clone());
        if self.available.first().is_none_or(|first| case.me() <= first) {
            turn.outbox.push_event(Event::NoEligibleNode {
                address,
                services: case.snapshot.service_names(address),
                reasons,
            });
        }
    }
}
