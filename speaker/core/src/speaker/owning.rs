//! What this node owns: it goes over to it, announces it, and says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    Announced, Event, Output, OwnedAddress, Speaker,
    ownership::{Case, Outcome, earlier},
};
use crate::{
    core::{
        eligibility::{Reason, Standing},
        facts::ClusterSnapshot,
    },
    wire::{message::Claim, ndp::solicited_node},
};

/// How long a node that may no longer own an address goes on announcing it while no other one does.
const LINGER: Duration = Duration::from_secs(30);

impl Speaker {
    /// What this node may no longer own it goes on announcing until another one begins, if there is another one that may.
    pub(super) fn linger(&mut self, case: Case<'_>, outcome: &mut Outcome) {
        let Case {
            now, address, verdicts, ..
        } = case;
        let reason = match verdicts.get(&self.me) {
            Some(Err(reason)) if *reason != Reason::NoInterface => Some(*reason),
            _ => None,
        };
        let still_ours = self.holder_of(address).as_ref() == Some(&self.me);
        let others = verdicts
            .iter()
            .any(|(node, verdict)| *node != self.me && verdict.is_ok());
        let before = self
            .owned
            .get(&address)
            .filter(|_| reason.is_some() && still_ours && others);
        let Some(before) = before.cloned() else {
            self.lingering.remove(&address);
            return;
        };
        let until = *self.lingering.entry(address).or_insert(now) + LINGER;
        if now < until {
            earlier(&mut outcome.recheck, Some(until));
            outcome.mine.insert(address, before);
        }
    }

    pub(super) fn to_announce(&self, facts: &ClusterSnapshot, address: IpAddr, standing: &Standing) -> Announced {
        let interfaces = self.interfaces.iter().flatten();
        let on = interfaces
            .filter(|interface| interface.can_announce() && standing.interfaces.contains(&interface.name))
            .filter_map(super::asking::port);
        let tenants = facts.tenants(address);
        let interfaces = standing
            .restricted
            .then(|| standing.interfaces.iter().cloned().collect());
        Announced {
            owned: OwnedAddress {
                address,
                services: tenants.map(|tenant| tenant.service.clone()).collect(),
                interfaces,
                beside: BTreeSet::new(),
            },
            on: on.collect(),
        }
    }

    /// Goes over from what is owned to what is to be owned.
    pub(super) fn own(&mut self, now: Instant, mine: BTreeMap<IpAddr, Announced>) {
        for address in self.owned.keys().filter(|address| !mine.contains_key(address)) {
            self.announcements.end(*address);
            self.probes.forget(*address);
            self.causes.remove(address);
        }
        let lost = self.owned.keys().filter(|address| !mine.contains_key(address)).copied();
        self.let_go(lost.collect());
        let mut begun = Vec::new();
        for (address, announced) in &mine {
            // A new owner, a new interface or a new MAC: the neighbours are to learn of it.
            if self.owned.get(address).is_none_or(|before| before.on != announced.on) {
                begun.push(*address);
            }
        }
        let is_new = |claim: &Claim| mine.contains_key(&claim.address) && !self.owned.contains_key(&claim.address);
        let gained: Vec<Claim> = self.claims.of(&self.me).into_iter().filter(is_new).collect();
        // Also what this node had claimed before it was started anew.
        for claim in gained.iter().filter(|claim| claim.held_back) {
            self.probes.begin(now, claim.address);
        }
        self.owned = mine;
        self.listen_to_groups();
        for address in begun.into_iter().filter(|address| self.probes.is_clear(*address)) {
            self.announcements.begin(now, address);
        }
        self.tell_claims(&gained);
        self.await_yielding(now, &gained);
        self.report(&gained);
        self.probe(now);
        for address in self.announcements.due(now) {
            self.announce(address);
        }
    }

    /// Says what is announced, and why.
    fn report(&mut self, gained: &[Claim]) {
        let announced = self
            .owned
            .values()
            .filter(|announced| self.probes.is_clear(announced.owned.address));
        let announced: Vec<OwnedAddress> = announced.map(|announced| announced.owned.clone()).collect();
        for claim in gained {
            let Some((from, cause)) = self.causes.get(&claim.address).cloned() else {
                continue;
            };
            let count = self.counts.taken.entry(cause.word()).or_default();
            *count = count.saturating_add(1);
            let services = self
                .owned
                .get(&claim.address)
                .map(|announced| announced.owned.services.clone());
            self.outputs.push_back(Output::Event(Event::Taken {
                address: claim.address,
                services: services.unwrap_or_default(),
                from,
                cause,
            }));
        }
        if self.reported.as_ref() != Some(&announced) {
            self.reported = Some(announced.clone());
            self.outputs.push_back(Output::Ownership(announced));
        }
    }

    /// Whoever is asked for an IPv6 address is asked by its solicited-node group.
    fn listen_to_groups(&mut self) {
        let owned = self
            .owned
            .iter()
            .map(|(address, announced)| (*address, announced.on.clone()));
        let stood_in = self
            .stood_in
            .iter()
            .map(|(address, stand_in)| (*address, stand_in.on.iter().map(|(port, _)| *port).collect()));
        let mut groups = BTreeSet::new();
        for (address, ports) in owned.chain(stood_in) {
            if let IpAddr::V6(v6) = address {
                groups.extend(ports.iter().map(|port| (port.index, solicited_node(v6))));
            }
        }
        if groups != self.groups {
            self.groups.clone_from(&groups);
            // Before the burst that follows: whoever hears that may ask at once.
            self.outputs.push_back(Output::Groups(groups));
        }
    }
}
