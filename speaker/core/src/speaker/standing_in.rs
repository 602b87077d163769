//! Standing in: while an owner's speaker is away and its node lives, the deputy answers for it, with the owner's MAC. Deputy and owner give
//! the same answer, so both may.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    Event, Output, Speaker, StandIn,
    ownership::{AWAY, Case, Outcome, PATIENCE, earlier},
};
use crate::{
    core::{
        election::{Load, order},
        eligibility::Standing,
        peers::Phase,
        settings::DeputyMode,
    },
    wire::message::{Message, NodeName},
};

/// How often it is looked again whether a silent node is gone, or this one cut off.
const WAVER: Duration = Duration::from_millis(20);

/// How many addresses go into one message.
const PER_MESSAGE: usize = 64;

impl Speaker {
    /// Answers for an owner that is away, and asks after it, if that is this node's turn.
    pub(super) fn stand_by(&self, case: Case<'_>, owner: &NodeName, away: bool, load: &Load, outcome: &mut Outcome) {
        let Case {
            now, address, verdicts, ..
        } = case;
        let always = self.settings.deputy == DeputyMode::Always;
        if !away && !always && !matches!(self.phase_for(now, address, owner), Some(Phase::Suspected(_))) {
            return;
        }
        // Of what its owner does not answer for itself nobody is to answer in its place.
        let held_back = self.claims.holder(address).is_some_and(|holder| holder.held_back);
        if self.leaving.is_some() {
            return;
        }
        let order = self.ranked(address, verdicts, load, Some(owner));
        let Some(rank) = order.iter().position(|node| **node == self.me) else {
            return;
        };
        let silent = match self.phase_for(now, address, owner) {
            Some(Phase::Suspected(since)) => Some(since),
            _ => None,
        };
        if rank == 0 {
            if (away || always)
                && self.settings.deputy != DeputyMode::Off
                && !held_back
                && let Some(Ok(standing)) = verdicts.get(&self.me)
            {
                outcome.stood_in.insert(address, self.in_place_of(owner, standing));
            }
            if away || silent.is_some() {
                outcome.checks.insert(owner.clone());
            }
            // Silent on the wire, too, and yet not taken for gone: as long as that is so it is looked at again and again.
            if silent.is_some() && self.is_unheard_on_wire(owner) {
                earlier(&mut outcome.recheck, Some(now + WAVER));
            }
        } else if let Some(since) = silent {
            // Those before have not done anything for so long.
            let turn = since + PATIENCE * u32::try_from(rank).unwrap_or(u32::MAX);
            // The next one asks as well: when much fails at once, who is the first changes.
            if rank == 1 || now >= turn {
                outcome.checks.insert(owner.clone());
            }
            if now < turn {
                earlier(&mut outcome.recheck, Some(turn));
            }
        }
        let since = [
            self.peers.leaving(owner).map(|leaving| leaving.since),
            self.peers.silent_on_claims(owner),
            silent,
        ];
        earlier(
            &mut outcome.recheck,
            since
                .into_iter()
                .flatten()
                .min()
                .map(|since| since + AWAY)
                .filter(|at| *at > now),
        );
    }

    /// How this node would answer for `address` in place of `owner`.
    pub(super) fn in_place_of(&self, owner: &NodeName, standing: &Standing) -> StandIn {
        let allowed = |index: u32| {
            let mut interfaces = self.interfaces.iter().flatten();
            interfaces.any(|interface| interface.index == index && standing.interfaces.contains(&interface.name))
        };
        let on = self
            .facing(owner)
            .filter(|(port, _)| allowed(port.index))
            .map(|(port, network)| (port, network.mac));
        StandIn {
            owner: owner.clone(),
            on: on.collect(),
        }
    }

    /// Goes over to answering for these.
    pub(super) fn stand_in(&mut self, wanted: BTreeMap<IpAddr, StandIn>) {
        if wanted == self.stood_in {
            return;
        }
        let count = |all: &BTreeMap<IpAddr, StandIn>| {
            let mut counts: BTreeMap<NodeName, usize> = BTreeMap::new();
            for stand_in in all.values() {
                *counts.entry(stand_in.owner.clone()).or_default() += 1;
            }
            counts
        };
        let (before, after) = (count(&self.stood_in), count(&wanted));
        let new = wanted
            .keys()
            .filter(|address| !self.stood_in.contains_key(address))
            .count();
        self.counts.stood_in = self
            .counts
            .stood_in
            .saturating_add(u64::try_from(new).unwrap_or(u64::MAX));
        self.stood_in = wanted;
        for owner in before
            .keys()
            .chain(after.keys().filter(|owner| !before.contains_key(*owner)))
        {
            let addresses = after.get(owner).copied().unwrap_or_default();
            if before.get(owner).copied().unwrap_or_default() != addresses {
                self.outputs.push_back(Output::Event(Event::StandsIn {
                    owner: owner.clone(),
                    addresses,
                }));
            }
            if self.peers.leaving(owner).is_some() {
                self.tell_stand_in(owner);
            }
        }
    }

    /// Tells a speaker that ends what this node answers for in its place.
    pub(super) fn tell_stand_in(&mut self, owner: &NodeName) {
        let mine = self.stood_in.iter().filter(|(_, stand_in)| stand_in.owner == *owner);
        let addresses: Vec<IpAddr> = mine.map(|(address, _)| *address).collect();
        for some in addresses.chunks(PER_MESSAGE) {
            self.tell(owner, Message::StandIn(some.to_vec()));
        }
    }

    /// In a large cluster the deputies of a node's addresses do not watch it: they are told of a doubt.
    pub(super) fn tell_deputies(&mut self, now: Instant, node: &NodeName) {
        let Some(facts) = self.facts.clone() else { return };
        let verdicts = self.verdicts(now, &facts);
        let load = self.load(now, &verdicts);
        let mut deputies = std::collections::BTreeSet::new();
        for (address, verdicts) in verdicts.iter() {
            if self.claims.holder(*address).is_some_and(|holder| holder.node == *node) {
                let candidates = verdicts.iter().filter(|(name, _)| *name != node);
                let candidates = candidates.filter_map(|(name, verdict)| Some((name, verdict.as_ref().ok()?.weight)));
                deputies.extend(order(*address, candidates, &load).first().map(|name| (*name).clone()));
            }
        }
        deputies.remove(&self.me);
        for deputy in deputies {
            self.tell(&deputy, Message::Doubt(node.clone()));
        }
    }
}
