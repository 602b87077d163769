//! Who gets an address that has no owner, and when one goes to a better owner.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    Cause, Event, Output, Speaker,
    ownership::{Case, Outcome, PATIENCE, earlier},
};
use crate::{
    core::{
        claims::Holder,
        election::{Load, order},
        eligibility::{Reason, Verdicts},
        settings::OwnershipMode,
    },
    wire::message::NodeName,
};

/// How long a node has to be the better owner before an address moves to it.
const STABLE: Duration = Duration::from_secs(10);

impl Speaker {
    /// The nodes that may own `address`, the one that should first; without the one that is away.
    pub(super) fn ranked<'a>(
        &self,
        address: IpAddr,
        verdicts: &'a Verdicts,
        load: &Load,
        without: Option<&NodeName>,
    ) -> Vec<&'a NodeName> {
        // One that is about to end keeps what nobody has taken yet, and takes nothing.
        let stays = |node: &NodeName| !(self.leaving.is_some() && *node == self.me) && Some(node) != without;
        let verdicts = verdicts.iter().filter(|(node, _)| stays(node));
        let candidates = verdicts.filter_map(|(node, verdict)| Some((node, verdict.as_ref().ok()?.weight)));
        order(address, candidates, load)
    }

    /// Takes an address without owner, if this node is the first, or those before it have had their time.
    pub(super) fn elect(&mut self, case: Case<'_>, cause: Cause, load: &mut Load, outcome: &mut Outcome) {
        let Case {
            now,
            facts,
            address,
            verdicts,
        } = case;
        let gone = matches!(cause, Cause::NodeDown | Cause::SpeakerDown);
        let holder = self.claims.holder(address);
        let without = holder.filter(|_| gone).map(|holder| &holder.node);
        let mut order = self.ranked(address, verdicts, load, without);
        // Whoever had it last comes first, if it may own it again. In a cluster in which every speaker has just been started nobody
        // remembers; the API server does.
        let tenants = facts.tenants(address);
        let services = tenants.map(|tenant| &tenant.service);
        let recorded: BTreeSet<&NodeName> = services
            .filter_map(|service| facts.recorded.get(service))
            .flatten()
            .collect();
        let last = holder.map_or_else(
            || order.iter().copied().find(|node| recorded.contains(node)),
            |holder| Some(&holder.node),
        );
        if self.settings.ownership == OwnershipMode::Sticky {
            order.sort_by_key(|node| last != Some(*node));
        }
        let Some(first) = order.first() else {
            self.unowned.remove(&address);
            return;
        };
        load.count(first);
        let since = *self.unowned.entry(address).or_insert(now);
        let Some(rank) = order.iter().position(|node| **node == self.me) else {
            return;
        };
        let mut turn = since + PATIENCE * u32::try_from(rank).unwrap_or(u32::MAX);
        // Another one claims it, is alive, and may not own it as far as we know. If it has outbid us for it before, it knows otherwise,
        // and one of the two is behind: each waits longer each time.
        let others =
            |holder: &Holder| holder.node != self.me && (holder.vouched || self.peers.lives(&holder.node, now));
        let disputed = holder.is_some_and(others);
        if let Some((times, last)) = self.outbid.get(&address).filter(|_| disputed) {
            turn = turn.max(*last + PATIENCE.saturating_mul(1 << (*times).min(8)));
        }
        if now < turn {
            earlier(&mut outcome.recheck, Some(turn));
            return;
        }
        // What nobody has answered for yet may be a foreign host's.
        let unproven = holder.map_or_else(|| recorded.is_empty(), |holder| holder.held_back);
        self.take(now, address, cause, unproven);
    }

    /// Takes over from an owner that is there, when this node has been the better one for a while.
    pub(super) fn improve(&mut self, case: Case<'_>, load: &Load, outcome: &mut Outcome) {
        let Case {
            now, address, verdicts, ..
        } = case;
        let Some(holder) = self.claims.holder(address).map(|holder| holder.node.clone()) else {
            return;
        };
        let weight = |node: &NodeName| {
            verdicts
                .get(node)
                .and_then(|verdict| Some(verdict.as_ref().ok()?.weight))
        };
        let (mine, theirs) = (weight(&self.me), weight(&holder));
        let preferred = mine.zip(theirs).is_some_and(|(mine, theirs)| mine > theirs);
        let hash = self.settings.ownership == OwnershipMode::Hash && mine.is_some() && mine == theirs;
        let first = || {
            self.ranked(address, verdicts, load, None)
                .first()
                .is_some_and(|node| **node == self.me)
        };
        if holder == self.me || !(preferred || hash) || !first() {
            self.better.remove(&address);
            return;
        }
        let due = *self.better.entry(address).or_insert(now) + STABLE;
        if now >= due {
            let unproven = self.claims.holder(address).is_some_and(|holder| holder.held_back);
            let cause = if preferred { Cause::Preferred } else { Cause::Hash };
            self.take(now, address, cause, unproven);
        } else {
            earlier(&mut outcome.recheck, Some(due));
        }
    }

    fn take(&mut self, now: Instant, address: IpAddr, cause: Cause, unproven: bool) {
        let from = self.holder_of(address).filter(|node| *node != self.me);
        self.unowned.remove(&address);
        self.better.remove(&address);
        self.claims.take(now, &self.me, address, unproven);
        self.causes.insert(address, (from, cause));
    }

    /// Says that no node may announce an address, if that is so for a while: one of all speakers does.
    pub(super) fn lament(&mut self, case: Case<'_>, outcome: &mut Outcome) {
        let Case {
            now,
            facts,
            address,
            verdicts,
        } = case;
        let reasons: Option<BTreeMap<NodeName, Reason>> = verdicts
            .iter()
            .map(|(node, verdict)| Some((node.clone(), verdict.as_ref().err().copied()?)))
            .collect();
        let Some(reasons) = reasons else {
            self.hopeless.remove(&address);
            return;
        };
        let (since, told) = self.hopeless.entry(address).or_insert((now, None));
        let due = *since + PATIENCE * 4;
        if now < due {
            earlier(&mut outcome.recheck, Some(due));
            return;
        }
        if told.as_ref() != Some(&reasons) {
            *told = Some(reasons.clone());
            if self.takers.first().is_none_or(|first| self.me <= *first) {
                let tenants = facts.tenants(address);
                self.outputs.push_back(Output::Event(Event::Nobody {
                    address,
                    services: tenants.map(|tenant| tenant.service.clone()).collect(),
                    reasons,
                }));
            }
        }
    }
}
