//! Who owns what: the present owner as long as it may, else whoever comes first in the election.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use lodestone_crds::ObjectKey;

use super::{Announced, Cause, Speaker, StandIn};
use crate::{
    core::{
        check::Found,
        claims::stale_after,
        election::Load,
        eligibility::{AllVerdicts, Reason, Verdicts, verdicts},
        facts::Facts,
        peers::{Path, Phase},
        settings::{Caretaker, Ownership},
    },
    wire::message::NodeName,
};

/// How long each node of the election waits for the one before it. One that comes first and does not claim may not know the Service
/// yet, or may have lost the API server.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// How long a speaker may be away while its node lives, before what it owns moves.
pub(super) const AWAY: Duration = Duration::from_secs(60);

/// How it stands with the owner of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    /// It is there.
    Present(NodeName),
    /// It can't be told whether its speaker is there; its node may live.
    Away(NodeName),
    /// There is none, and why.
    None(Cause),
}

/// What comes out of looking at all addresses.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) mine: BTreeMap<IpAddr, Announced>,
    pub(super) stood_in: BTreeMap<IpAddr, StandIn>,
    pub(super) checks: BTreeSet<NodeName>,
    pub(super) recheck: Option<Instant>,
}

/// One address that is decided on, and what the decision depends on.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) now: Instant,
    pub(super) facts: &'a Facts,
    pub(super) address: IpAddr,
    pub(super) verdicts: &'a Verdicts,
}

impl Speaker {
    /// Decides on every address.
    pub(super) fn settle(&mut self, now: Instant) {
        let Some(facts) = self.facts.clone() else { return };
        let verdicts = self.verdicts(now, &facts);
        let mut load = self.load(now, &verdicts);
        let mut outcome = Outcome::default();
        let mut owners: BTreeMap<&ObjectKey, BTreeSet<NodeName>> = BTreeMap::new();
        for (address, verdicts) in verdicts.iter() {
            let address = *address;
            let case = Case {
                now,
                facts: &facts,
                address,
                verdicts,
            };
            if let Owner::None(cause) = self.owner(now, address, verdicts) {
                self.elect(case, cause, &mut load, &mut outcome);
            } else {
                self.unowned.remove(&address);
                self.improve(case, &load, &mut outcome);
            }
            let owner = self.owner(now, address, verdicts);
            match &owner {
                Owner::Present(node) | Owner::Away(node) if *node != self.me => {
                    let away = owner != Owner::Present(node.clone());
                    self.stand_by(case, node, away, &load, &mut outcome);
                    let holder = self.claims.holder(address);
                    let stale = holder.map(|holder| holder.heard + stale_after(self.cycle()));
                    earlier(&mut outcome.recheck, stale.filter(|stale| *stale > now));
                }
                Owner::Present(_) | Owner::Away(_) => {
                    if let Some(Ok(standing)) = verdicts.get(&self.me) {
                        let announced = self.to_announce(&facts, address, standing);
                        outcome.mine.insert(address, announced);
                    }
                }
                Owner::None(_) => {}
            }
            self.lament(case, &mut outcome);
            if let Owner::Present(node) | Owner::Away(node) = owner {
                for tenant in facts.tenants(address) {
                    owners.entry(&tenant.service).or_default().insert(node.clone());
                }
            }
            self.linger(case, &mut outcome);
        }
        for announced in outcome.mine.values_mut() {
            let services = announced.owned.services.iter();
            let nodes = services.filter_map(|service| owners.get(service)).flatten();
            announced.owned.beside = nodes.filter(|node| **node != self.me).cloned().collect();
        }
        self.checks.retain(|node, _| outcome.checks.contains(node));
        for node in &outcome.checks {
            self.check(now, node);
        }
        self.recheck = outcome.recheck;
        self.stand_in(outcome.stood_in);
        self.own(now, outcome.mine);
    }

    /// The verdicts on all addresses. They depend on what is known from Kubernetes, on the networks, and on who can take an address.
    pub(super) fn verdicts(&mut self, now: Instant, facts: &Facts) -> Arc<AllVerdicts> {
        let takers: BTreeSet<NodeName> = self.peers.networks(now).map(|(node, _)| node.clone()).collect();
        if takers != self.takers {
            self.takers = takers;
            self.verdicts = None;
        }
        if let Some(known) = &self.verdicts {
            return known.clone();
        }
        let networks = self.networks(now);
        let mut all = AllVerdicts::with_capacity(facts.addresses.len());
        for address in facts.addresses.keys() {
            let new = verdicts(facts, &networks, *address);
            // Most addresses are alike: what is the same is kept once.
            let shared = match all.last() {
                Some((_, last)) if **last == new => last.clone(),
                _ => Arc::new(new),
            };
            all.push((*address, shared));
        }
        let made = Arc::new(all);
        self.verdicts = Some(made.clone());
        made
    }

    /// How much everybody owns.
    pub(super) fn load(&self, now: Instant, verdicts: &AllVerdicts) -> Load {
        if self.settings.ownership == Ownership::Hash {
            return Load::unlimited();
        }
        let mut load = Load::new(verdicts.len(), self.takers.len() + 1);
        for (address, verdicts) in verdicts {
            if let Owner::Present(node) | Owner::Away(node) = self.owner(now, *address, verdicts) {
                load.count(&node);
            }
        }
        load
    }

    /// How it stands with whoever has claimed `address`.
    fn owner(&self, now: Instant, address: IpAddr, verdicts: &Verdicts) -> Owner {
        let Some(holder) = self.claims.holder(address) else {
            return Owner::None(Cause::New);
        };
        let node = holder.node.clone();
        if holder.released {
            return Owner::None(Cause::Unclaimed);
        }
        match verdicts.get(&node) {
            Some(Ok(_)) => {}
            // One that can't take an address may keep it.
            Some(Err(Reason::NoSpeaker)) | None => {}
            Some(Err(reason)) => return Owner::None(Cause::Ineligible(*reason)),
        }
        if node == self.me {
            return Owner::Present(node);
        }
        let Some(phase) = self.phase_for(now, address, &node) else {
            // It is known by the word of others only.
            let fresh = now < holder.heard + stale_after(self.cycle());
            return if holder.vouched && fresh {
                Owner::Present(node)
            } else {
                Owner::None(Cause::NodeGone)
            };
        };
        let leaving = self.peers.leaving(&node);
        if leaving.is_some_and(|leaving| leaving.handover) {
            return Owner::None(Cause::HandedOver);
        }
        let silent = match phase {
            Phase::Suspected(since) => Some(since),
            Phase::Well | Phase::Doubted => None,
        };
        // Another one hears it where we do not, and has said so since.
        let vouched = holder.vouched && now < holder.heard + stale_after(self.cycle());
        if vouched && silent.is_some_and(|silent| holder.heard > silent) {
            return Owner::Present(node);
        }
        if silent.is_some() && self.found(now, &node) == Found::Gone {
            return Owner::None(Cause::NodeGone);
        }
        let away = [
            leaving.map(|leaving| leaving.since),
            self.peers.silent_on_claims(&node),
            silent,
        ];
        match away.into_iter().flatten().min() {
            // One that is about to end answers until it does.
            Some(_) if leaving.is_none() && self.found(now, &node) == Found::Lives => Owner::Present(node),
            Some(_)
                if self.settings.caretaker == Caretaker::Off
                    && silent.is_some()
                    && self.found(now, &node) == Found::SpeakerGone =>
            {
                Owner::None(Cause::SpeakerAway)
            }
            Some(since) if now >= since + AWAY => Owner::None(Cause::SpeakerAway),
            Some(_) => Owner::Away(node),
            None if phase == Phase::Doubted => Owner::Away(node),
            None if now >= holder.heard + stale_after(self.cycle()) => Owner::None(Cause::Unclaimed),
            None => Owner::Present(node),
        }
    }

    /// How alive a speaker seems where it announces `address`.
    pub(super) fn phase_for(&self, now: Instant, address: IpAddr, node: &NodeName) -> Option<Phase> {
        let on = |own: bool| {
            let networks = self.peers.networks_of(node).iter();
            let mut networks = networks.filter(|network| self.is_node_network(node, network) == own);
            networks.any(|network| network.addresses.iter().any(|prefix| prefix.contains(&address)))
        };
        let path = if on(true) && !on(false) { Path::Node } else { Path::Lan };
        self.peers.phase_by(node, now, path)
    }
}

pub(super) fn earlier(time: &mut Option<Instant>, other: Option<Instant>) {
    *time = [*time, other].into_iter().flatten().min();
}
