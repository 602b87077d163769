//! Who owns what: the present owner as long as it may, else whoever comes first in the election.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use lodestone_daemon::ObjectKey;

use super::{Announced, Cause, Happening, Output, Owned, Speaker, StandIn};
use crate::{
    core::{
        check::Found,
        claims::{Holder, stale_after},
        election::{Load, order},
        eligibility::{Reason, Standing, Verdicts, verdicts},
        facts::Facts,
        peers::{Path, Phase},
        settings::{Caretaker, Ownership},
    },
    wire::{
        message::{Claim, NodeName},
        ndp::solicited_node,
    },
};

/// How long each node of the election waits for the one before it. One that comes first and does not claim may not know the Service
/// yet, or may have lost the API server.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a speaker may be away while its node lives, before what it owns moves.
const AWAY: Duration = Duration::from_secs(60);

/// How often it is looked again whether a silent node is gone, or this one cut off.
const WAVER: Duration = Duration::from_millis(20);

/// How long a node has to be the better owner before an address moves to it.
const STABLE: Duration = Duration::from_secs(10);

/// How long a node that may no longer own an address goes on announcing it while no other one does.
const LINGER: Duration = Duration::from_secs(30);

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
struct Outcome {
    mine: BTreeMap<IpAddr, Announced>,
    stood_in: BTreeMap<IpAddr, StandIn>,
    checks: BTreeSet<NodeName>,
    recheck: Option<Instant>,
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
            if let Owner::None(cause) = self.owner(now, address, verdicts) {
                self.elect(now, &facts, address, verdicts, cause, &mut load, &mut outcome);
            } else {
                self.unowned.remove(&address);
                self.improve(now, address, verdicts, &load, &mut outcome);
            }
            let owner = self.owner(now, address, verdicts);
            match &owner {
                Owner::Present(node) | Owner::Away(node) if *node != self.me => {
                    self.stand_by(
                        now,
                        address,
                        verdicts,
                        node,
                        owner != Owner::Present(node.clone()),
                        &load,
                        &mut outcome,
                    );
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
            self.lament(now, &facts, address, verdicts, &mut outcome);
            if let Owner::Present(node) | Owner::Away(node) = owner {
                for tenant in facts.addresses.get(&address).into_iter().flatten() {
                    owners.entry(&tenant.service).or_default().insert(node.clone());
                }
            }
            self.linger(now, address, verdicts, &mut outcome);
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
    pub(super) fn verdicts(&mut self, now: Instant, facts: &Facts) -> Arc<Vec<(IpAddr, Verdicts)>> {
        let takers: BTreeSet<NodeName> = self.peers.networks(now).map(|(node, _)| node.clone()).collect();
        if takers != self.takers {
            self.takers = takers;
            self.verdicts = None;
        }
        if let Some(known) = &self.verdicts {
            return known.clone();
        }
        let networks = self.networks(now);
        let of = |address: &IpAddr| (*address, verdicts(facts, &networks, *address));
        let made: Arc<Vec<_>> = Arc::new(facts.addresses.keys().map(of).collect());
        self.verdicts = Some(made.clone());
        made
    }

    /// How much everybody owns.
    pub(super) fn load(&self, now: Instant, verdicts: &[(IpAddr, Verdicts)]) -> Load {
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
            Some(since)
                if self.settings.caretaker == Caretaker::Off
                    && self.found(now, &node) == Found::SpeakerGone
                    && silent.is_some() =>
            {
                let _ = since;
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
    fn phase_for(&self, now: Instant, address: IpAddr, node: &NodeName) -> Option<Phase> {
        let on = |own: bool| {
            let networks = self.peers.networks_of(node).iter();
            let mut networks = networks.filter(|network| self.is_node_network(node, network) == own);
            networks.any(|network| network.addresses.iter().any(|prefix| prefix.contains(&address)))
        };
        let path = if on(true) && !on(false) { Path::Node } else { Path::Lan };
        self.peers.phase_by(node, now, path)
    }

    /// Answers for an owner that is away, and asks after it, if that is this node's turn.
    #[expect(clippy::too_many_arguments, reason = "everything that the decision depends on")]
    fn stand_by(
        &self,
        now: Instant,
        address: IpAddr,
        verdicts: &Verdicts,
        owner: &NodeName,
        away: bool,
        load: &Load,
        outcome: &mut Outcome,
    ) {
        let always = self.settings.caretaker == Caretaker::Always;
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
                && self.settings.caretaker != Caretaker::Off
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

    /// Says that no node may announce an address, if that is so for a while: one of all speakers does.
    fn lament(&mut self, now: Instant, facts: &Facts, address: IpAddr, verdicts: &Verdicts, outcome: &mut Outcome) {
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
                let tenants = facts.addresses.get(&address).into_iter().flatten();
                self.outputs.push_back(Output::Happening(Happening::Nobody {
                    address,
                    services: tenants.map(|tenant| tenant.service.clone()).collect(),
                    reasons,
                }));
            }
        }
    }

    /// The nodes that may own `address`, the one that should first; without the one that is away.
    fn ranked<'a>(
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
    #[expect(clippy::too_many_arguments, reason = "everything that the decision depends on")]
    fn elect(
        &mut self,
        now: Instant,
        facts: &Facts,
        address: IpAddr,
        verdicts: &Verdicts,
        cause: Cause,
        load: &mut Load,
        outcome: &mut Outcome,
    ) {
        let gone = matches!(cause, Cause::NodeGone | Cause::SpeakerAway);
        let holder = self.claims.holder(address);
        let without = holder.filter(|_| gone).map(|holder| &holder.node);
        let mut order = self.ranked(address, verdicts, load, without);
        // Whoever had it last comes first, if it may own it again. In a cluster in which every speaker has just been started nobody
        // remembers; the API server does.
        let tenants = facts.addresses.get(&address).into_iter().flatten();
        let services = tenants.map(|tenant| &tenant.service);
        let recorded: BTreeSet<&NodeName> = services
            .filter_map(|service| facts.recorded.get(service))
            .flatten()
            .collect();
        let last = holder.map_or_else(
            || order.iter().copied().find(|node| recorded.contains(node)),
            |holder| Some(&holder.node),
        );
        if self.settings.ownership == Ownership::Sticky {
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
    fn improve(&mut self, now: Instant, address: IpAddr, verdicts: &Verdicts, load: &Load, outcome: &mut Outcome) {
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
        let hash = self.settings.ownership == Ownership::Hash && mine.is_some() && mine == theirs;
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

    /// What this node may no longer own it goes on announcing until another one begins, if there is another one that may.
    fn linger(&mut self, now: Instant, address: IpAddr, verdicts: &Verdicts, outcome: &mut Outcome) {
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

    fn to_announce(&self, facts: &Facts, address: IpAddr, standing: &Standing) -> Announced {
        let interfaces = self.interfaces.iter().flatten();
        let on = interfaces
            .filter(|interface| interface.can_announce() && standing.interfaces.contains(&interface.name))
            .filter_map(super::asking::port);
        let tenants = facts.addresses.get(&address).into_iter().flatten();
        let interfaces = standing
            .restricted
            .then(|| standing.interfaces.iter().cloned().collect());
        Announced {
            owned: Owned {
                address,
                services: tenants.map(|tenant| tenant.service.clone()).collect(),
                interfaces,
                beside: BTreeSet::new(),
            },
            on: on.collect(),
        }
    }

    /// Goes over from what is owned to what is to be owned.
    fn own(&mut self, now: Instant, mine: BTreeMap<IpAddr, Announced>) {
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
        let announced: Vec<Owned> = announced.map(|announced| announced.owned.clone()).collect();
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
            self.outputs.push_back(Output::Happening(Happening::Taken {
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

fn earlier(time: &mut Option<Instant>, other: Option<Instant>) {
    *time = [*time, other].into_iter().flatten().min();
}
