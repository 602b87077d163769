//! Spreads, once, the addresses that this node took while other nodes were missing.
//!
//! After a power failure, or when nodes pull an image at different speed, the first speaker is the
//! only candidate and takes every address. Such ownership is *provisional*. When the missing nodes
//! are heard, the owner offers them one address after the other, until it has no more than its fair
//! share. The node that accepts an offer takes the address over as it takes one that it is
//! preferred for: it announces before the owner stops. What this node owned before all speakers
//! restarted is not provisional.
//!
//! ```text
//!   taken, other nodes are missing ──► provisional ──► offered to one of those nodes ──► taken over
//!                                           │
//!                                           └── kept: all those nodes are settled, or 10 minutes
//!                                               passed
//! ```
//! An address is offered only to nodes that were missing when it was taken. A peer that could have
//! taken one for ten seconds, while this node had no surplus, is *settled*: it gets nothing more.
//! So a node that fails and returns takes nothing.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Ownership,
    case::{Case, Decision, Owner},
    eligibility::AllVerdicts,
    keep_earlier,
    ranking::{Load, rank},
    takeover::STABLE_AFTER,
    verdicts_on,
};
use crate::{context::Turn, event::OwnershipCause, liveness::View, types::NodeName, wire::message::Message};

/// The time between two offers of this node.
const OFFER_INTERVAL: Duration = Duration::from_millis(1100);

/// The time between two offers that this node accepts, at least. It is shorter than the interval of
/// the offers, so that jitter does not make this node refuse every other offer of an owner.
const ACCEPT_INTERVAL: Duration = Duration::from_secs(1);

impl Ownership {
    /// Offers a provisional address to a peer that was missing. This node must have more than its
    /// fair share, and have made no offer a moment ago.
    pub(super) fn offer_surplus(
        &mut self,
        turn: &mut Turn<'_>,
        view: &View<'_>,
        (all, load): (&AllVerdicts, &Load),
        decision: &mut Decision,
    ) {
        let now = view.now;
        let provisional = self.provisional();
        if provisional.is_empty() || view.context.shutdown.is_some() {
            return self.rebalance.restart();
        }
        if self.rebalance.is_over(now) {
            return self.keep_provisional();
        }
        if !load.has_surplus(&view.context.me) {
            return self.settle(view, &provisional, all, decision);
        }
        self.rebalance.ready_since.clear();
        // mutation: surplus-not-offered
        let offer = self.next_offer(view, &provisional, (all, load));
        let Some((address, target)) = offer else {
            // Nobody may take one. A node that was just heard may become eligible later.
            self.rebalance.surplus_since = None;
            return;
        };
        let stable = *self.rebalance.surplus_since.get_or_insert(now) + STABLE_AFTER;
        let last = self.rebalance.last_offer.map(|(at, _)| at + OFFER_INTERVAL);
        let due = last.map_or(stable, |last| stable.max(last));
        if now < due {
            return keep_earlier(&mut decision.recheck, Some(due));
        }
        turn.outbox.send(&target, Message::Offer(vec![address]));
        self.rebalance.last_offer = Some((now, address));
        keep_earlier(&mut decision.recheck, Some(now + OFFER_INTERVAL));
    }

    /// The provisional addresses of this node.
    fn provisional(&self) -> BTreeSet<IpAddr> {
        let taken = self.addresses.iter();
        let provisional =
            taken.filter(|(_, state)| state.taken.as_ref().is_some_and(|taken| !taken.missing.is_empty()));
        provisional.map(|(address, _)| *address).collect()
    }

    /// Keeps all provisional addresses for good.
    fn keep_provisional(&mut self) {
        for state in self.addresses.values_mut() {
            if let Some(taken) = &mut state.taken {
                taken.missing = Arc::default();
            }
        }
    }

    /// This node has no surplus. A peer that could have taken an address for a while is settled.
    /// When all missing nodes of an address are, the address stays where it is.
    fn settle(&mut self, view: &View<'_>, provisional: &BTreeSet<IpAddr>, all: &AllVerdicts, decision: &mut Decision) {
        let mut wanted: BTreeSet<NodeName> = BTreeSet::new();
        let mut ready: BTreeSet<NodeName> = BTreeSet::new();
        for (address, missing) in provisional
            .iter()
            .filter_map(|address| Some((address, &self.taken(*address)?.missing)))
        {
            let Some(verdicts) = verdicts_on(all, *address) else {
                continue;
            };
            let is_eligible = |node: &&NodeName| matches!(verdicts.get(*node), Some(Ok(_)));
            // mutation: ineligible-peer-is-settled
            ready.extend(missing.iter().filter(is_eligible).cloned());
            wanted.extend(missing.iter().cloned());
        }
        let due = self.rebalance.note_ready(view.now, &ready, STABLE_AFTER);
        keep_earlier(&mut decision.recheck, due);
        if wanted.is_subset(&self.rebalance.settled) {
            self.keep_provisional();
        }
    }

    /// The provisional address to offer next, and the peer to offer it to: the best of those that
    /// were missing and are not full.
    fn next_offer(
        &self,
        view: &View<'_>,
        provisional: &BTreeSet<IpAddr>,
        (all, load): (&AllVerdicts, &Load),
    ) -> Option<(IpAddr, NodeName)> {
        let me = &view.context.me;
        if self.available.is_subset(&self.rebalance.settled) {
            return None;
        }
        // Another address each time: a peer may refuse one, for what it knows and this node does
        // not.
        let last = self.rebalance.last_offer.map(|(_, address)| address);
        let is_later = |address: &&IpAddr| last.is_none_or(|last| **address > last);
        let (later, earlier): (Vec<&IpAddr>, Vec<&IpAddr>) = provisional.iter().partition(is_later);
        later.into_iter().chain(earlier).find_map(|address| {
            let verdicts = verdicts_on(all, *address)?;
            let record = self.claims.get(*address);
            record.filter(|record| record.node == *me && !record.released && !record.tentative)?;
            let missing = &self.taken(*address)?.missing;
            let weight = verdicts.get(me)?.as_ref().ok()?.weight;
            // mutation: any-node-gets-the-surplus
            let candidates = missing.iter().filter_map(|node| {
                let is_wanted = !self.rebalance.settled.contains(node) && !load.is_full(node);
                let candidate = verdicts.get(node)?.as_ref().ok().filter(|_| is_wanted)?;
                (candidate.weight >= weight).then_some((node, candidate.weight))
            });
            let target = rank(*address, candidates, load).first().copied()?;
            Some((*address, target.clone()))
        })
    }

    /// Takes over the first of these addresses that this node may own, unless it is full: `from`
    /// offers them.
    pub(crate) fn handle_offer(&mut self, turn: &mut Turn<'_>, view: &View<'_>, from: &NodeName, addresses: &[IpAddr]) {
        let now = view.now;
        let Some(snapshot) = view.context.snapshot.clone() else {
            return;
        };
        let is_early = |last: Instant| now < last + ACCEPT_INTERVAL;
        let is_busy = view.context.listening || view.context.shutdown.is_some();
        if is_busy || self.rebalance.accepted.is_some_and(is_early) {
            return;
        }
        let all = self.refresh_verdicts(view, &snapshot);
        if self.load(view, &all).is_full(&view.context.me) {
            return;
        }
        for address in addresses {
            let Some(verdicts) = verdicts_on(&all, *address) else {
                continue;
            };
            let is_eligible = matches!(verdicts.get(&view.context.me), Some(Ok(_)));
            if !is_eligible || self.owner(view, *address, verdicts) != Owner::Present(from.clone()) {
                continue;
            }
            let case = Case {
                view,
                snapshot: &snapshot,
                address: *address,
                verdicts,
            };
            self.rebalance.note_missing(view, &snapshot);
            self.rebalance.accepted = Some(now);
            self.take(case, OwnershipCause::Rebalanced, false);
            turn.request_review();
            return;
        }
    }
}
