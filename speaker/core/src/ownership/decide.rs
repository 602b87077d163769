//! Decides for every address who owns it, and what this node does about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lodestone_crds::ObjectKey;

use super::{
    Ownership,
    case::{Case, Decision, Owner},
    claims::{ClaimRecord, stale_after},
    eligibility::{AllVerdicts, Verdicts},
    keep_earlier,
    ranking::Load,
    standing::{DELETED_GRACE, absence, has_successor, standing},
    transition,
};
use crate::{
    context::Turn,
    event::OwnershipCause,
    lan::Announcement,
    liveness::{View, peers::Phase, reachability::Reachability},
    settings::{DeputyMode, OwnershipMode},
    types::NodeName,
};

/// The interfaces of a node of which it is not known how it announces an address.
pub(super) static NO_INTERFACES: BTreeSet<String> = BTreeSet::new();

impl Ownership {
    /// Reviews every address. `owned` is what this node announces until now.
    pub(crate) fn decide(
        &mut self,
        turn: &mut Turn<'_>,
        view: &View<'_>,
        owned: &BTreeMap<IpAddr, Announcement>,
    ) -> Option<Decision> {
        let snapshot = view.context.snapshot.clone()?;
        let mut decision = Decision::default();
        self.reunite(turn, view, &snapshot, &mut decision);
        let all = self.refresh_verdicts(view, &snapshot);
        self.rebalance.note_missing(view, &snapshot);
        let mut load = self.load(view, &all);
        let mut owners: BTreeMap<&ObjectKey, BTreeSet<NodeName>> = BTreeMap::new();
        for (address, verdicts) in all.iter() {
            let case = Case {
                view,
                snapshot: &snapshot,
                address: *address,
                verdicts,
            };
            let owner = self.decide_address(case, &mut load, &mut decision);
            self.report_no_eligible_node(turn, case, &owner, &mut decision);
            if let Owner::Present(node) | Owner::Away(node) = owner {
                for service in snapshot.services_on(*address) {
                    owners.entry(&service.service).or_default().insert(node.clone());
                }
            }
            self.linger(case, owned, &mut decision);
        }
        self.offer_surplus(turn, view, (&all, &load), &mut decision);
        let me = &view.context.me;
        for announcement in decision.announce.values_mut() {
            let services = announcement.owned.services.iter();
            let nodes = services.filter_map(|service| owners.get(service)).flatten();
            announcement.owned.co_owners = nodes.filter(|node| *node != me).cloned().collect();
        }
        Some(decision)
    }

    fn decide_address(&mut self, case: Case<'_>, load: &mut Load, decision: &mut Decision) -> Owner {
        let (view, address, verdicts) = (case.view, case.address, case.verdicts);
        if let Owner::Unowned(cause) = self.owner(view, address, verdicts) {
            self.elect(case, cause, load, decision);
        } else {
            self.forget_unowned(address);
            self.take_over_if_better(case, load, decision);
        }
        let owner = self.owner(view, address, verdicts);
        let claimant = self.claims.owner(address);
        let deleted = claimant.and_then(|node| view.context.deleted.get(node));
        let due = deleted.map(|deleted| deleted.since + DELETED_GRACE);
        keep_earlier(&mut decision.recheck, due.filter(|due| *due > case.now()));
        match &owner {
            Owner::Present(node) | Owner::Away(node) if node != case.me() => {
                self.act_as_deputy(case, &owner, load, decision);
                let record = self.claims.get(address);
                let stale = record.map(|record| record.heard + stale_after(view.cycle()));
                keep_earlier(&mut decision.recheck, stale.filter(|stale| *stale > case.now()));
            }
            Owner::Present(_) | Owner::Away(_) => {
                if let Some(Ok(eligibility)) = standing(view, address, verdicts, case.me()) {
                    decision
                        .announce
                        .insert(address, transition::announcement(case, &eligibility));
                }
            }
            Owner::Unowned(cause) => self.keep_check(case, *cause, decision),
        }
        owner
    }

    /// Goes on with the check that found an owner down, until another node has taken the address.
    /// Without it no evidence against that owner would remain.
    fn keep_check(&self, case: Case<'_>, cause: OwnershipCause, decision: &mut Decision) {
        if !matches!(cause, OwnershipCause::NodeDown | OwnershipCause::SpeakerDown) {
            return;
        }
        // mutation: check-ends-with-the-owner
        let record = self.claims.get(case.address);
        if let Some(record) = record.filter(|record| case.view.is_checked(&record.node)) {
            let announced = case.announced_by(&record.node);
            let interfaces = announced
                .as_ref()
                .map_or(&NO_INTERFACES, |announced| &announced.interfaces);
            decision.check(&record.node, interfaces, case.address, record.tentative);
        }
    }

    /// How many addresses each node owns.
    pub(super) fn load(&self, view: &View<'_>, all: &AllVerdicts) -> Load {
        if view.context.settings.ownership == OwnershipMode::Hash {
            return Load::unlimited();
        }
        let mut load = Load::new(all.len(), self.available.len() + 1);
        for (address, verdicts) in all {
            if let Owner::Present(node) | Owner::Away(node) = self.owner(view, *address, verdicts) {
                load.add(&node);
            }
        }
        load
    }

    /// The owner of `address`, by the claim in force and what is known of the claimant.
    pub(super) fn owner(&self, view: &View<'_>, address: IpAddr, verdicts: &Verdicts) -> Owner {
        let Some(record) = self.claims.get(address) else {
            return Owner::Unowned(OwnershipCause::New);
        };
        let node = record.node.clone();
        if record.is_from_earlier_use_by(&view.context.me) {
            return Owner::Unowned(OwnershipCause::New);
        }
        if record.released {
            return Owner::Unowned(OwnershipCause::Unclaimed);
        }
        let announced = match standing(view, address, verdicts, &node) {
            Some(Err(reason)) => return Owner::Unowned(OwnershipCause::Ineligible(reason)),
            Some(Ok(announced)) => Some(announced),
            None => None,
        };
        if node == view.context.me {
            return Owner::Present(node);
        }
        let relayed = record.relayed && view.now < record.heard + stale_after(view.cycle());
        let interfaces = announced
            .as_ref()
            .map_or(&NO_INTERFACES, |announced| &announced.interfaces);
        let claimant = Claimant {
            view,
            verdicts,
            record,
            interfaces,
        };
        match view.phase_for(interfaces, &node) {
            Some(phase) => owner_by_phase(claimant, phase, relayed),
            // Only other nodes have heard of it.
            None if relayed => Owner::Present(node),
            None => Owner::Unowned(OwnershipCause::NodeDown),
        }
    }
}

/// A peer that claims an address.
#[derive(Clone, Copy)]
struct Claimant<'a> {
    view: &'a View<'a>,
    verdicts: &'a Verdicts,
    record: &'a ClaimRecord,
    /// The interfaces on which it announces the address.
    interfaces: &'a BTreeSet<String>,
}

/// The owner, by what is known of the peer that claims the address. The first row that applies
/// decides.
///
/// | Phase | Also | Owner |
/// |---|---|---|
/// | any | it hands over, and another node is eligible | none: handed over |
/// | failed | another node has heard the claim since | the peer |
/// | failed | its node answers no check | none: the node is down |
/// | any, absent | not leaving, and its speaker answers a check | the peer |
/// | failed | deputies are off, and only its speaker is down | none: the speaker is down |
/// | any, absent | absent for too long, and another node is eligible | none: the speaker is down |
/// | any, absent | | the peer, but away: a deputy answers |
/// | suspect | | the peer, but away: a deputy answers |
/// | alive | it has not repeated the claim for long | none: unclaimed |
/// | alive | | the peer |
///
/// A peer is absent if it has failed, is leaving, or has restarted and not claimed anything yet.
fn owner_by_phase(claimant: Claimant<'_>, phase: Phase, relayed: bool) -> Owner {
    let Claimant {
        view,
        verdicts,
        record,
        interfaces,
    } = claimant;
    let (now, node) = (view.now, &record.node);
    let leaving = view.peers().leaving(node);
    // With nobody to take the address over, a deputy answers for as long as the node lives.
    let has_successor = || has_successor(view, verdicts, node);
    // mutation: drained-node-waits-for-no-successor
    if leaving.is_some_and(|leaving| leaving.handover) && has_successor() {
        return Owner::Unowned(OwnershipCause::HandedOver);
    }
    let failed_since = match phase {
        Phase::Failed(since) => Some(since),
        Phase::Alive | Phase::Suspect => None,
    };
    // Another node has heard it since it failed for this one.
    if relayed && failed_since.is_some_and(|since| record.heard > since) {
        return Owner::Present(node.clone());
    }
    let reachability = || view.reachability(node, interfaces);
    // mutation: takeover-without-reachability-check
    if failed_since.is_some() && reachability() == Reachability::NodeDown {
        return Owner::Unowned(OwnershipCause::NodeDown);
    }
    let no_deputy = view.context.settings.deputy == DeputyMode::Off;
    match absence(view, (node, interfaces), failed_since) {
        // A speaker that shuts down answers until it has stopped.
        Some(_) if leaving.is_none() && reachability() == Reachability::SpeakerAlive => Owner::Present(node.clone()),
        Some(_) if no_deputy && failed_since.is_some() && reachability() == Reachability::SpeakerDown => {
            Owner::Unowned(OwnershipCause::SpeakerDown)
        }
        // mutation: limit-waits-for-no-successor
        Some(absence) if absence.until.is_some_and(|until| now >= until) && has_successor() => {
            Owner::Unowned(OwnershipCause::SpeakerDown)
        }
        Some(_) => Owner::Away(node.clone()),
        None if phase == Phase::Suspect => Owner::Away(node.clone()),
        None if now >= record.heard + stale_after(view.cycle()) => Owner::Unowned(OwnershipCause::Unclaimed),
        None => Owner::Present(node.clone()),
    }
}
