//! The deputy: while an owner's speaker is down and its node lives, its deputy answers with the
//! owner's MAC. Deputy and owner give the same answer, so both may.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use super::{
    Ownership,
    case::{CLAIM_DELAY, Case, Decision, Owner},
    decide::NO_INTERFACES,
    eligibility::Eligibility,
    keep_earlier,
    ranking::{Load, rank},
    standing::{absence, standing},
};
use crate::{
    cluster_snapshot::ClusterSnapshot,
    lan::DeputyDuty,
    liveness::{View, peers::Phase},
    settings::DeputyMode,
    types::NodeName,
};

/// How often a review asks again whether a silent node is down, or this one isolated.
const ISOLATION_RECHECK: Duration = Duration::from_millis(20);

impl Case<'_> {
    /// The deputies of `owner` for the address, the first of which answers and the second of which
    /// checks the owner too. A deputy needs an interface that faces one on which the owner
    /// announces, and nothing else. Eligible nodes come first.
    fn deputies(&self, load: &Load, owner: &NodeName, announced: &Eligibility) -> Vec<&NodeName> {
        let faces = |node: &&NodeName| self.view.faces(node, owner, &announced.interfaces);
        let mut deputies: Vec<&NodeName> = self
            .ranked(load, Some(owner))
            .into_iter()
            .filter(faces)
            .take(2)
            .collect();
        // mutation: deputy-needs-eligibility
        if deputies.len() < 2 {
            let others = rank(self.address, self.others(owner), load).into_iter().filter(faces);
            deputies.extend(others.take(2 - deputies.len()));
        }
        deputies
    }

    /// The available nodes that are not eligible, without `owner`.
    fn others(&self, owner: &NodeName) -> impl Iterator<Item = (&NodeName, u32)> {
        let verdicts = self.verdicts.iter().filter(move |(node, _)| *node != owner);
        let others = verdicts.filter(|(_, verdict)| matches!(verdict, Err(reason) if !reason.is_silence()));
        let stays = |node: &NodeName| !(self.view.context.shutdown.is_some() && node == self.me());
        others.map(|(node, _)| (node, 0)).filter(move |(node, _)| stays(node))
    }

    /// How `owner` announces the address.
    pub(super) fn announced_by(&self, owner: &NodeName) -> Option<Cow<'_, Eligibility>> {
        standing(self.view, self.address, self.verdicts, owner)?.ok()
    }
}

impl Ownership {
    /// Answers for an owner that is away, and checks it on the wire, if this node is its deputy.
    /// The nodes that would take the address over check it too.
    pub(super) fn act_as_deputy(&self, case: Case<'_>, owner: &Owner, load: &Load, decision: &mut Decision) {
        let (owner, away) = match owner {
            Owner::Present(node) => (node, false),
            Owner::Away(node) => (node, true),
            Owner::Unowned(_) => return,
        };
        let (now, view, me) = (case.now(), case.view, case.me());
        let context = view.context;
        let announced = case.announced_by(owner);
        let interfaces = announced
            .as_ref()
            .map_or(&NO_INTERFACES, |announced| &announced.interfaces);
        let tentative = self.claims.get(case.address).is_some_and(|record| record.tentative);
        let failed_since = match view.phase_for(interfaces, owner) {
            Some(Phase::Failed(since)) => Some(since),
            _ => None,
        };
        let always = context.settings.deputy == DeputyMode::Always;
        if !(away || always || failed_since.is_some()) || context.shutdown.is_some() {
            return;
        }
        let deputies = announced
            .as_deref()
            .map_or_else(Vec::new, |announced| case.deputies(load, owner, announced));
        let is_deputy = deputies.first() == Some(&me);
        if is_deputy && (away || always) {
            let duty = announced
                .as_deref()
                // The owner does not answer for a tentative address either.
                .filter(|_| !tentative)
                .and_then(|announced| duty(case, owner, announced));
            decision.duties.extend(duty.map(|duty| (case.address, duty)));
        }
        let position = case.ranked(load, Some(owner)).iter().position(|node| *node == me);
        if is_deputy || position == Some(0) {
            if away || failed_since.is_some() {
                decision.check(owner, interfaces, case.address, tentative);
            }
            // The node is silent on the wire too, but this node may be isolated: review it soon.
            if failed_since.is_some() && view.answers_no_check(owner) {
                keep_earlier(&mut decision.recheck, Some(now + ISOLATION_RECHECK));
            }
        } else if let Some(since) = failed_since {
            // The nodes before this one have this long to act.
            let due = position.map(|position| since + CLAIM_DELAY * u32::try_from(position).unwrap_or(u32::MAX));
            // The second node checks as well: when much fails at once, the first may change.
            let is_second = deputies.get(1) == Some(&me) || position == Some(1);
            if is_second || due.is_some_and(|due| now >= due) {
                decision.check(owner, interfaces, case.address, tentative);
            }
            keep_earlier(&mut decision.recheck, due.filter(|due| now < *due));
        }
        if is_deputy || position.is_some() {
            let limit = absence(view, (owner, interfaces), failed_since).and_then(|absence| absence.until);
            keep_earlier(&mut decision.recheck, limit.filter(|at| *at > now));
        }
    }

    /// Finds the deputies of all addresses that a node owns, without this node.
    pub(crate) fn find_deputies(
        &mut self,
        view: &View<'_>,
        snapshot: &ClusterSnapshot,
        node: &NodeName,
    ) -> BTreeSet<NodeName> {
        let all = self.refresh_verdicts(view, snapshot);
        let load = self.load(view, &all);
        let mut deputies = BTreeSet::new();
        for (address, verdicts) in all.iter() {
            let address = *address;
            let case = Case {
                view,
                snapshot,
                address,
                verdicts,
            };
            let owned = self.claims.owner(address) == Some(node);
            if let Some(announced) = owned.then(|| case.announced_by(node)).flatten() {
                let first = case.deputies(&load, node, &announced).first().copied().cloned();
                deputies.extend(first);
            }
        }
        deputies.remove(&view.context.me);
        deputies
    }
}

/// How this node answers for the address as the deputy of `owner`, if it may. It answers on the
/// ports that face an interface on which the owner announces.
fn duty(case: Case<'_>, owner: &NodeName, announced: &Eligibility) -> Option<DeputyDuty> {
    if case.view.context.settings.deputy == DeputyMode::Off {
        return None;
    }
    let facing = case.view.facing(owner, &announced.interfaces);
    let facing = case.view.one_network_per_port(owner, case.address, facing).into_iter();
    let ports = facing.map(|(port, network)| (port, network.mac));
    Some(DeputyDuty {
        owner: owner.clone(),
        ports: ports.collect(),
    })
}
