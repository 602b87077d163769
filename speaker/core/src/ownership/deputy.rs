//! The deputy: while an owner's speaker is down and its node lives, its deputy answers with the
//! owner's MAC. Deputy and owner give the same answer, so both may.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Ownership,
    case::{CLAIM_DELAY, Case, Decision, Owner, SPEAKER_DOWN_LIMIT},
    earlier,
    eligibility::Eligibility,
    ranking::{Load, rank},
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

impl Ownership {
    /// Answers for an owner that is away, and checks it on the wire, if this node is its deputy.
    pub(super) fn act_as_deputy(&self, case: Case<'_>, owner: &Owner, load: &Load, decision: &mut Decision) {
        let (owner, away) = match owner {
            Owner::Present(node) => (node, false),
            Owner::Away(node) => (node, true),
            Owner::Unowned(_) => return,
        };
        let (now, view) = (case.now(), case.view);
        let context = view.context;
        let failed_since = match view.phase_for(case.address, owner) {
            Some(Phase::Failed(since)) => Some(since),
            _ => None,
        };
        let always = context.settings.deputy == DeputyMode::Always;
        if !(away || always || failed_since.is_some()) || context.shutdown.is_some() {
            return;
        }
        let order = case.ranked(load, Some(owner));
        let Some(position) = order.iter().position(|node| *node == case.me()) else {
            return;
        };
        if position == 0 {
            if (away || always)
                && let Some(duty) = self.duty(case, owner)
            {
                decision.duties.insert(case.address, duty);
            }
            if away || failed_since.is_some() {
                decision.checks.insert(owner.clone());
            }
            // The node is silent on the wire too, but this node may be isolated: review it soon.
            if failed_since.is_some() && view.answers_no_check(owner) {
                earlier(&mut decision.recheck, Some(now + ISOLATION_RECHECK));
            }
        } else if let Some(since) = failed_since {
            // The nodes before this one have this long to act.
            let due = since + CLAIM_DELAY * u32::try_from(position).unwrap_or(u32::MAX);
            // The second node checks as well: when much fails at once, the first may change.
            if position == 1 || now >= due {
                decision.checks.insert(owner.clone());
            }
            if now < due {
                earlier(&mut decision.recheck, Some(due));
            }
        }
        let away_since = [
            view.peers().leaving(owner).map(|leaving| leaving.since),
            view.peers().awaiting_claims_since(owner),
            failed_since,
        ];
        let limit = away_since
            .into_iter()
            .flatten()
            .min()
            .map(|since| since + SPEAKER_DOWN_LIMIT);
        earlier(&mut decision.recheck, limit.filter(|at| *at > now));
    }

    /// How this node would answer for the address as the deputy of `owner`, if it may.
    fn duty(&self, case: Case<'_>, owner: &NodeName) -> Option<DeputyDuty> {
        // The owner does not answer for a tentative address either.
        let tentative = self.claims.get(case.address).is_some_and(|record| record.tentative);
        if tentative || case.view.context.settings.deputy == DeputyMode::Off {
            return None;
        }
        let candidate: &Eligibility = case.verdicts.get(case.me())?.as_ref().ok()?;
        let node = case.view.around.node;
        let allowed = |index| {
            node.name_of(index)
                .is_some_and(|name| candidate.interfaces.contains(name))
        };
        let facing = case.view.facing(owner).into_iter();
        let ports = facing
            .filter(|(port, _)| allowed(port.index))
            .map(|(port, network)| (port, network.mac));
        Some(DeputyDuty {
            owner: owner.clone(),
            ports: ports.collect(),
        })
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
            if self.claims.owner(*address) == Some(node) {
                let candidates = verdicts.iter().filter(|(name, _)| *name != node);
                let candidates = candidates.filter_map(|(name, verdict)| Some((name, verdict.as_ref().ok()?.weight)));
                deputies.extend(rank(*address, candidates, &load).first().map(|name| (*name).clone()));
            }
        }
        deputies.remove(&view.context.me);
        deputies
    }
}
