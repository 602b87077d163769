//! What other speakers say, and what follows from their silence.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{Output, Speaker};
use crate::{
    core::{
        claims::Settled,
        peers::{Heard, Path, Phase},
    },
    wire::message::{Claim, Datagram, Message, NodeName},
};

/// Without being outbid for so long a node is as willing to own an address as any.
const CALM: Duration = Duration::from_secs(120);

/// After so long one that is watched from now on is asked on the wire, to know whether it answers at all.
const SOON: Duration = Duration::from_millis(300);

impl Speaker {
    /// Takes in a message of another speaker, that came from `source`. What follows for ownership is decided in the next turn, which is due at
    /// once: so many messages may come at one time.
    pub fn handle_datagram(&mut self, now: Instant, source: IpAddr, datagram: Datagram) {
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
                self.yielded(&from, &addresses);
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
}
