//! What other speakers say, and what follows from their silence.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{Output, Speaker};
use crate::{
    core::{
        claims::Settled,
        facts::Facts,
        peers::{Heard, Path, Phase},
        speaker::Happening,
    },
    wire::message::{Claim, Datagram, Message, NodeName},
};

/// Without being outbid for so long a node is as willing to own an address as any.
const CALM: Duration = Duration::from_secs(120);

/// After so long one that is watched from now on is asked on the wire, to know whether it answers at all.
const SOON: Duration = Duration::from_millis(300);

/// How often a suspicion is told, and after what time again: a message may be lost.
const TELLINGS: u32 = 3;
const RETELL: Duration = Duration::from_millis(100);
const AGAIN: Duration = Duration::from_secs(1);

/// How long it takes at least, beyond a millisecond for each node, until this node says once more that it lives.
const REFUTES: Duration = Duration::from_millis(100);

impl Speaker {
    /// Takes in a message of another speaker, that came from `source`. What follows for ownership is decided in the next turn, which is due at
    /// once: so many messages may come at one time.
    pub fn datagram(&mut self, now: Instant, source: IpAddr, datagram: Datagram) {
        let Datagram {
            from,
            to,
            boot,
            sequence,
            message,
        } = datagram;
        if self.facts.is_none() || from == self.me || to != self.me {
            return;
        }
        self.excuse(now);
        let path = self.path(&from, source);
        match self.peers.hear(now, &from, (source, path), boot, sequence) {
            Heard::Again => return,
            Heard::Behind(boot) => return self.tell(&from, Message::Behind(boot)),
            Heard::Known => {}
            Heard::Appeared => {
                self.soon(now);
                self.tell(&from, Message::Suspected);
                self.welcome(now, &from, false);
                self.notice(now, &from);
            }
            Heard::Restarted => {
                self.soon(now);
                self.redraw_ring();
                self.welcome(now, &from, true);
                self.notice(now, &from);
            }
        }
        match message {
            Message::Heartbeat => {
                if !self.peers.watches(&from) {
                    self.next_baseline = self.next_baseline.min(now + SOON);
                }
                self.peers.beat(now, &from, path);
                if self.phases.get(&from) != Some(&Phase::Well) {
                    self.watch(now);
                } else if self.next_liveness.is_none_or(|due| due > now) {
                    // What is due already is looked at in the next turn, not put off.
                    self.expect(now);
                }
            }
            Message::Unwatch => self.peers.unwatch(&from),
            Message::Hello(networks) => {
                if self.peers.set_networks(&from, networks) {
                    self.learn_macs(now);
                    self.verdicts = None;
                    self.soon(now);
                }
            }
            Message::Doubt(node) => {
                self.peers.told_doubt(now, &node);
                self.notice(now, &node);
            }
            Message::Suspect { node, .. } if node == self.me => self.refute(now),
            Message::Suspect { node, on_lan } => {
                // What we hear ourselves, others can't tell us away; and to one that is cut off where it announces all others are silent there.
                let is_seen = self.peers.watches(&node) && self.peers.phase(&node, now) == Some(Phase::Well);
                let is_cut_off = on_lan && matches!(self.peers.phase(&from, now), Some(Phase::Suspected(_)));
                if !is_seen && !is_cut_off {
                    self.peers.told(now, &node, &from, on_lan);
                    self.notice(now, &node);
                }
            }
            Message::Hears(node) => {
                self.peers.told_well(&node, &from);
                self.notice(now, &node);
            }
            Message::Released(claims) => {
                for claim in claims {
                    if self.claims.release(&from, claim) {
                        self.soon(now);
                    }
                }
            }
            Message::Suspected => self.refute(now),
            Message::Leaving { handover } => {
                if self.peers.set_leaving(now, &from, handover) {
                    self.soon(now);
                }
                self.tell_stand_in(&from);
            }
            Message::Yielded(addresses) => {
                for address in addresses {
                    if self.owned.contains_key(&address) && self.probes.is_clear(address) {
                        self.announcements.begin(now, address);
                    }
                }
            }
            Message::StandIn(addresses) => self.covered.extend(addresses),
            Message::Behind(boot) => self.outputs.push_back(Output::Boot(boot)),
            Message::YouOwn(claims) => {
                // Only one that has just been started can have forgotten.
                if self.listening {
                    let me = self.me.clone();
                    claims.into_iter().for_each(|claim| self.hear_claim(now, &me, claim));
                }
            }
            Message::Listening => {
                if self.listening {
                    self.answered.insert(from);
                    self.soon(now);
                }
            }
            Message::Claims { claims, last } => {
                claims.into_iter().for_each(|claim| self.hear_claim(now, &from, claim));
                if last {
                    if self.peers.has_told_claims(&from) {
                        self.soon(now);
                    }
                    if self.listening {
                        // Each answer counts: it may be the last that is waited for.
                        self.answered.insert(from);
                        self.soon(now);
                    }
                }
            }
            Message::Others(claims) => {
                for (node, claim) in claims {
                    // Of ourselves nobody knows better.
                    if node == self.me {
                        continue;
                    }
                    let before = self.holder_of(claim.address);
                    let (me, peers) = (&self.me, &self.peers);
                    let cycle = self.cycle();
                    let settled = self
                        .claims
                        .vouch(now, cycle, &node, claim, |node| node == me || peers.lives(node, now));
                    self.settled(now, before, settled, &from, claim.address);
                }
            }
        }
    }

    /// By which way a message of `from` came: over a network that addresses are announced on, if it has an address of that.
    fn path(&self, from: &NodeName, source: IpAddr) -> Path {
        let facts = self.facts.as_ref();
        let node = facts.and_then(|facts| facts.nodes.get(from)?.address);
        let networks = self.peers.networks_of(from).iter();
        let mut networks = networks.filter(|network| !self.is_node_network(from, network));
        let mut on_lan = || networks.any(|network| network.addresses.iter().any(|address| address.addr() == source));
        if node != Some(source) && on_lan() {
            Path::Lan
        } else {
            Path::Node
        }
    }

    fn hear_claim(&mut self, now: Instant, node: &NodeName, claim: Claim) {
        let before = self.holder_of(claim.address);
        let (me, peers) = (&self.me, &self.peers);
        let cycle = self.cycle();
        let settled = self
            .claims
            .hear(now, cycle, node, claim, |node| node == me || peers.lives(node, now));
        self.settled(now, before, settled, node, claim.address);
    }

    /// What follows from a claim that was heard from `teller`.
    fn settled(
        &mut self,
        now: Instant,
        before: Option<NodeName>,
        settled: Settled,
        teller: &NodeName,
        address: IpAddr,
    ) {
        match settled {
            Settled::Same => {}
            Settled::Changed => {
                if before.as_ref() == Some(&self.me) && self.disputes(now, address) {
                    let (times, last) = self.outbid.entry(address).or_insert((0, now));
                    *times = if now > *last + CALM { 1 } else { times.saturating_add(1) };
                    *last = now;
                }
                self.soon(now);
            }
            Settled::Outdated => self.contradict(teller, address),
        }
    }

    /// Whether somebody has taken an address that this node may own, as far as it knows, and the other may not.
    fn disputes(&mut self, now: Instant, address: IpAddr) -> bool {
        let (Some(facts), Some(holder)) = (self.facts.clone(), self.holder_of(address)) else {
            return false;
        };
        let verdicts = self.verdicts(now, &facts);
        let place = verdicts.binary_search_by_key(&address, |(of, _)| *of).ok();
        place
            .and_then(|place| verdicts.get(place))
            .is_some_and(|(_, verdicts)| {
                let may = |node: &NodeName| matches!(verdicts.get(node), Some(Ok(_)));
                may(&self.me) && !may(&holder)
            })
    }

    /// Looks at everybody that is watched.
    pub(super) fn watch(&mut self, now: Instant) {
        let watched: Vec<NodeName> = self
            .peers
            .nodes()
            .filter(|node| self.peers.watches(node))
            .cloned()
            .collect();
        for node in watched {
            self.notice(now, &node);
        }
        let again: Vec<NodeName> = self
            .retell
            .iter()
            .filter(|(_, (_, at))| *at <= now)
            .map(|(node, _)| node.clone())
            .collect();
        for node in again {
            self.tell_suspicion(now, &node);
        }
        self.expect(now);
    }

    /// Says when somebody is to be looked at again, unless something is heard before.
    fn expect(&mut self, now: Instant) {
        let retell = self.retell.values().map(|(_, at)| *at).min();
        self.next_liveness = [self.peers.next_change(now), retell].into_iter().flatten().min();
    }

    /// Looks at one, and takes in what has changed.
    pub(super) fn notice(&mut self, now: Instant, node: &NodeName) {
        let phase = self.peers.phase(node, now).unwrap_or(Phase::Well);
        let before = self.phases.insert(node.clone(), phase).unwrap_or(Phase::Well);
        let watched = self.peers.watches(node);
        // Of two ways the one that addresses are announced on decides how it seems; who tells of others is heard by either.
        let changed = if self.peers.lives(node, now) {
            self.unheard.remove(node)
        } else {
            self.unheard.insert(node.clone())
        };
        if changed {
            self.soon(now);
            self.find_unwatched(now);
        }
        if before == phase {
            return;
        }
        self.soon(now);
        match phase {
            Phase::Well => {
                self.retell.remove(node);
                if watched && matches!(before, Phase::Suspected(_)) {
                    self.tell_everybody(&Message::Hears(node.clone()));
                }
            }
            Phase::Doubted => {
                self.counts.doubts = self.counts.doubts.saturating_add(u64::from(watched));
                // In a small cluster everybody sees it; but who is told that nobody listens knows it before the others.
                if self.peers.is_refused(node) || (watched && !self.ring.is_small()) {
                    self.tell_deputies(now, node);
                }
            }
            Phase::Suspected(_) => {
                if watched && !matches!(before, Phase::Suspected(_)) {
                    self.counts.suspicions = self.counts.suspicions.saturating_add(1);
                    self.retell.insert(node.clone(), (TELLINGS, now));
                    self.tell_suspicion(now, node);
                }
            }
        }
        let was_silent = matches!(before, Phase::Suspected(_));
        let silent = matches!(phase, Phase::Suspected(_));
        if was_silent != silent {
            self.find_unwatched(now);
            if silent {
                // It may be the one that is cut off, and all others seem silent to it.
                self.peers.forget_teller(node);
            }
            self.outputs.push_back(Output::Happening(Happening::Peer {
                node: node.clone(),
                silent,
            }));
        }
    }

    /// Forgets what was noticed of those that have left the cluster and are not heard.
    pub(super) fn forget_gone(&mut self, facts: &Facts) {
        let known = |node: &NodeName| facts.nodes.contains_key(node) || self.peers.knows(node);
        self.phases.retain(|node, _| known(node));
        self.retell.retain(|node, _| known(node));
        self.checks.retain(|node, _| known(node));
        for noticed in [
            &mut self.unheard,
            &mut self.on_wire,
            &mut self.watchers,
            &mut self.only_on_lan,
            &mut self.answered,
        ] {
            noticed.retain(known);
        }
    }

    /// Looks for nodes of whom nobody would tell that they are silent, since those who watch them are silent, too: as in a partition.
    fn find_unwatched(&mut self, now: Instant) {
        if self.ring.is_small() {
            return;
        }
        let others: BTreeSet<NodeName> = self.peers.nodes().cloned().collect();
        // Of those that this node watches it knows itself; of the others it would be told by one of whom it would be told itself.
        let heard = |node: &&NodeName| self.peers.watches(node) && self.peers.lives(node, now);
        let mut known: BTreeSet<NodeName> = others.iter().filter(heard).cloned().chain([self.me.clone()]).collect();
        loop {
            let told = |node: &&NodeName| {
                // One that this node does not watch, though the ring says so, it can't tell itself of.
                let watchers = self.ring.watchers(node, |_| false).into_iter();
                let mut watchers = watchers.filter(|watcher| **watcher != self.me);
                let new = !known.contains(*node) && !self.peers.watches(node);
                new && self.peers.suspected_by(node, now) == 0 && watchers.any(|watcher| known.contains(watcher))
            };
            let more: Vec<NodeName> = others.iter().filter(told).cloned().collect();
            if more.is_empty() {
                break;
            }
            known.extend(more);
        }
        for node in others
            .into_iter()
            .filter(|node| !self.peers.watches(node))
            .collect::<Vec<_>>()
        {
            self.peers.set_unwatched(now, &node, !known.contains(&node));
            let phase = self.peers.phase(&node, now).unwrap_or(Phase::Well);
            if self.phases.insert(node, phase) != Some(phase) {
                self.soon(now);
            }
        }
    }

    fn tell_suspicion(&mut self, now: Instant, node: &NodeName) {
        let on_lan = self.peers.is_cut_off(node, now);
        let Some((times, at)) = self.retell.get_mut(node) else {
            return;
        };
        *times = times.saturating_sub(1);
        // Of one that is silent only where it announces, the others hear otherwise: they are told for as long as that lasts.
        *at = now + if *times == 0 { AGAIN } else { RETELL };
        if *times == 0 && !on_lan {
            self.retell.remove(node);
        }
        let node = node.clone();
        self.tell_everybody(&Message::Suspect { node, on_lan });
    }

    /// Somebody has taken us for dead: everybody is to hear that we are not. Many may have at once, and one answer is enough for all.
    pub(super) fn refute(&mut self, now: Instant) {
        let others = u32::try_from(self.ring.len()).unwrap_or(u32::MAX);
        let pause = REFUTES + Duration::from_millis(1) * others;
        if let Some(due) = self.refuted.map(|last| last + pause).filter(|due| now < *due) {
            self.refute_due.get_or_insert(due);
            return;
        }
        (self.refuted, self.refute_due) = (Some(now), None);
        self.greet();
        if !self.listening {
            for message in self.own_claims() {
                self.tell_everybody(&message);
            }
        }
    }
}
