//! Who owns what: the present owner as long as it may, else whoever comes first in the election.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use lodestone_daemon::ObjectKey;

use super::{Announced, Output, Owned, Port, Speaker};
use crate::{
    core::{
        claims::{Holder, STALE_AFTER},
        election::{Load, order},
        eligibility::{Reason, Standing, Verdicts, verdicts},
        facts::Facts,
    },
    wire::{
        message::{CLAIMS_PER_MESSAGE, Claim, Message, NodeName},
        ndp::solicited_node,
    },
};

/// How long each node of the election waits for the one before it. One that comes first and does not claim may not know the Service
/// yet, or may have lost the API server.
const PATIENCE: Duration = Duration::from_millis(500);

impl Speaker {
    /// Decides on every address.
    pub(super) fn settle(&mut self, now: Instant) {
        let Some(facts) = self.facts.clone() else { return };
        let networks = self.networks(now);
        let verdicts: Vec<(IpAddr, Verdicts)> = facts
            .addresses
            .keys()
            .map(|address| (*address, verdicts(&facts, &networks, *address)))
            .collect();
        let mut recheck = self.peers.next_death(now);
        let mut load = Load::new(verdicts.len(), networks.len());
        for (address, verdicts) in &verdicts {
            if let Some(owner) = self.present_owner(now, *address, verdicts) {
                load.count(&owner);
                self.unowned.remove(address);
            }
        }
        let mut mine: BTreeMap<IpAddr, Announced> = BTreeMap::new();
        let mut owners: BTreeMap<&ObjectKey, BTreeSet<NodeName>> = BTreeMap::new();
        for (address, verdicts) in &verdicts {
            if self.present_owner(now, *address, verdicts).is_none() {
                self.elect(now, &facts, *address, verdicts, &mut load, &mut recheck);
            }
            let owner = self.present_owner(now, *address, verdicts);
            if let Some(owner) = &owner {
                for tenant in facts.addresses.get(address).into_iter().flatten() {
                    owners.entry(&tenant.service).or_default().insert(owner.clone());
                }
            }
            if owner.as_ref() == Some(&self.me)
                && let Some(Ok(standing)) = verdicts.get(&self.me)
            {
                mine.insert(*address, self.announced(&facts, *address, standing));
            } else if let Some(holder) = self.claims.holder(*address).filter(|holder| holder.node != self.me) {
                earlier(
                    &mut recheck,
                    Some(holder.heard + STALE_AFTER).filter(|stale| *stale > now),
                );
            }
        }
        for announced in mine.values_mut() {
            let nodes = announced
                .owned
                .services
                .iter()
                .filter_map(|service| owners.get(service))
                .flatten();
            announced.owned.beside = nodes.filter(|node| **node != self.me).cloned().collect();
        }
        self.recheck = recheck;
        self.own(now, mine);
    }

    /// The node that has claimed `address`, as long as it may own it and repeats its claim. One that is alive and has not said yet what
    /// networks it has keeps what it claims.
    fn present_owner(&self, now: Instant, address: IpAddr, verdicts: &Verdicts) -> Option<NodeName> {
        let holder = self.claims.holder(address)?;
        let eligible = match verdicts.get(&holder.node) {
            Some(Ok(_)) => true,
            Some(Err(Reason::NoSpeaker)) | None => holder.vouched || self.peers.stays(&holder.node, now),
            Some(Err(_)) => false,
        };
        let fresh = holder.node == self.me || now < holder.heard + STALE_AFTER;
        (eligible && fresh).then(|| holder.node.clone())
    }

    /// Takes an address without owner, if this node is the first, or those before it have had their time.
    fn elect(
        &mut self,
        now: Instant,
        facts: &Facts,
        address: IpAddr,
        verdicts: &Verdicts,
        load: &mut Load,
        recheck: &mut Option<Instant>,
    ) {
        // One that is about to end keeps what nobody has taken yet, and takes nothing.
        let stays = |node: &NodeName| !(self.leaving && *node == self.me);
        let verdicts = verdicts.iter().filter(|(node, _)| stays(node));
        let candidates = verdicts.filter_map(|(node, verdict)| Some((node, verdict.as_ref().ok()?.weight)));
        let mut order: Vec<&NodeName> = order(address, candidates, load);
        // Whoever had it last comes first, if it may own it again. In a cluster in which every speaker has just been started nobody
        // remembers; the API server does.
        let services = facts
            .addresses
            .get(&address)
            .into_iter()
            .flatten()
            .map(|tenant| &tenant.service);
        let recorded: BTreeSet<&NodeName> = services
            .filter_map(|service| facts.recorded.get(service))
            .flatten()
            .collect();
        let holder = self.claims.holder(address);
        let last = holder.map_or_else(
            || order.iter().copied().find(|node| recorded.contains(node)),
            |holder| Some(&holder.node),
        );
        order.sort_by_key(|node| last != Some(*node));
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
            |holder: &Holder| holder.node != self.me && (holder.vouched || self.peers.stays(&holder.node, now));
        let disputed = holder.is_some_and(others);
        if let Some((times, last)) = self.outbid.get(&address).filter(|_| disputed) {
            turn = turn.max(*last + PATIENCE.saturating_mul(1 << (*times).min(8)));
        }
        if now < turn {
            earlier(recheck, Some(turn));
            return;
        }
        self.unowned.remove(&address);
        self.claims.take(now, &self.me, address);
    }

    fn announced(&self, facts: &Facts, address: IpAddr, standing: &Standing) -> Announced {
        let interfaces = self.interfaces.iter().flatten();
        let on = interfaces
            .filter(|interface| interface.can_announce() && standing.interfaces.contains(&interface.name))
            .filter_map(|interface| {
                Some(Port {
                    index: interface.index,
                    mac: interface.mac?,
                    link_local: interface.link_local(),
                })
            });
        let services = facts
            .addresses
            .get(&address)
            .into_iter()
            .flatten()
            .map(|tenant| tenant.service.clone());
        let interfaces = standing
            .restricted
            .then(|| standing.interfaces.iter().cloned().collect());
        Announced {
            owned: Owned {
                address,
                services: services.collect(),
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
        }
        for (address, announced) in &mine {
            // A new owner, a new interface or a new MAC: the neighbours are to learn of it.
            if self.owned.get(address).is_none_or(|before| before.on != announced.on) {
                self.announcements.begin(now, *address);
            }
        }
        let owned = |announced: &BTreeMap<IpAddr, Announced>| -> Vec<Owned> {
            announced.values().map(|announced| announced.owned.clone()).collect()
        };
        let (before, after) = (owned(&self.owned), owned(&mine));
        let is_new = |claim: &Claim| mine.contains_key(&claim.address) && !self.owned.contains_key(&claim.address);
        let gained: Vec<Claim> = self.claims.of(&self.me).into_iter().filter(is_new).collect();
        self.owned = mine;
        self.listen_to_groups();
        for claims in gained.chunks(CLAIMS_PER_MESSAGE) {
            // It is no whole list of our claims, and so no answer to whoever listens.
            self.tell_everybody(&Message::Claims {
                claims: claims.to_vec(),
                last: false,
            });
        }
        if before != after || !self.reported {
            self.reported = true;
            self.outputs.push_back(Output::Ownership(after));
        }
        for address in self.announcements.due(now) {
            self.announce(address);
        }
    }
}

impl Speaker {
    /// Whoever is asked for an IPv6 address is asked by its solicited-node group.
    fn listen_to_groups(&mut self) {
        let mut groups = BTreeSet::new();
        for (address, announced) in &self.owned {
            if let IpAddr::V6(v6) = address {
                groups.extend(announced.on.iter().map(|port| (port.index, solicited_node(*v6))));
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
