//! One speaker: hears facts, messages and requests, and says what to send, what to announce and what this node owns.
//!
//! Whoever drives it calls [`Speaker::turn`] no later than [`Speaker::next_deadline`], and takes everything from [`Speaker::poll`] after
//! each call. Calls that come early, late or for nothing do no harm.

mod describe;
mod ownership;
mod talk;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use lodestone_daemon::ObjectKey;
use pnet_base::MacAddr;

use super::{
    announce::Announcements,
    claims::{Claims, REPEAT, Settled},
    facts::Facts,
    interface::Interface,
    peers::{HEARTBEAT, HELLO, Heard, Peers},
};
use crate::wire::{
    arp,
    message::{Claim, Datagram, Message, Network, NodeName},
    ndp,
};

/// How long a new speaker listens before it claims anything, unless all others have answered before.
const LISTEN: Duration = Duration::from_secs(1);

/// Without being outbid for so long a node is as willing to own an address as any.
const CALM: Duration = Duration::from_secs(120);

/// A turn that comes later than this was held up by something outside: the process, or the whole node, did not run.
const LATE: Duration = Duration::from_millis(250);

/// What a speaker wants to have done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a message to the speaker of a node.
    Send {
        /// The node.
        to: NodeName,
        /// Its address.
        address: IpAddr,
        /// What to say.
        message: Message,
    },
    /// Send all messages from now on with this [`Datagram::boot`].
    Boot(u64),
    /// Send a frame.
    Frame {
        /// The index of the interface.
        interface: u32,
        /// The whole frame.
        frame: Vec<u8>,
    },
    /// Be a member of these solicited-node groups, each on the interface of this index, and of no others.
    Groups(BTreeSet<(u32, Ipv6Addr)>),
    /// This is all that the node owns now.
    Ownership(Vec<Owned>),
}

/// An address that this node owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The address.
    pub address: IpAddr,
    /// The Services that have it.
    pub services: Vec<ObjectKey>,
    /// The interfaces that it is announced on, where advertisements restrict them.
    pub interfaces: Option<Vec<String>>,
    /// The other nodes that announce another address of one of the Services.
    pub beside: BTreeSet<NodeName>,
}

/// How an owned address is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Announced {
    owned: Owned,
    on: Vec<Port>,
}

/// An interface that an address is announced on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Port {
    index: u32,
    mac: MacAddr,
    link_local: Option<Ipv6Addr>,
}

/// One speaker.
#[derive(Clone, Debug)]
pub struct Speaker {
    me: NodeName,
    facts: Option<Arc<Facts>>,
    interfaces: Option<Vec<Interface>>,
    peers: Peers,
    claims: Claims,
    announcements: Announcements,
    owned: BTreeMap<IpAddr, Announced>,
    groups: BTreeSet<(u32, Ipv6Addr)>,
    /// Since when an address that somebody could own has had no owner.
    unowned: BTreeMap<IpAddr, Instant>,
    /// How often, and when, another node outbid us: two that disagree on who may own an address must not outbid each other for ever.
    outbid: BTreeMap<IpAddr, (u32, Instant)>,
    /// Until when to listen; `None` before facts and interfaces are known.
    listen_until: Option<Instant>,
    listening: bool,
    answered: BTreeSet<NodeName>,
    leaving: bool,
    /// Whether it was ever said what is owned.
    reported: bool,
    /// Ownership is to be looked at again, now that something has changed, or at the other time.
    dirty: Option<Instant>,
    recheck: Option<Instant>,
    next_heartbeat: Instant,
    next_hello: Instant,
    next_repeat: Instant,
    outputs: VecDeque<Output>,
}

impl Speaker {
    /// The speaker of node `me`, which knows nothing yet.
    #[must_use]
    pub fn new(now: Instant, me: NodeName) -> Self {
        Self {
            me,
            facts: None,
            interfaces: None,
            peers: Peers::default(),
            claims: Claims::default(),
            announcements: Announcements::default(),
            owned: BTreeMap::new(),
            groups: BTreeSet::new(),
            unowned: BTreeMap::new(),
            outbid: BTreeMap::new(),
            listen_until: None,
            listening: true,
            answered: BTreeSet::new(),
            leaving: false,
            reported: false,
            dirty: None,
            recheck: None,
            next_heartbeat: now,
            next_hello: now,
            next_repeat: now,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what is known from Kubernetes.
    pub fn facts(&mut self, now: Instant, facts: Arc<Facts>) {
        self.peers.retain(now, &facts);
        self.outbid.retain(|address, _| facts.addresses.contains_key(address));
        // Others may know of an address before we do: what they say of it is kept for as long as they say it.
        let me = self.me.clone();
        self.claims
            .retain(now, &me, |address| facts.addresses.contains_key(&address));
        self.unowned.retain(|address, _| facts.addresses.contains_key(address));
        self.facts = Some(facts);
        self.changed(now);
    }

    /// Takes in the interfaces of this node.
    pub fn interfaces(&mut self, now: Instant, interfaces: Vec<Interface>) {
        if self.interfaces.as_ref() != Some(&interfaces) {
            self.interfaces = Some(interfaces);
            // The others are to know at once.
            self.next_hello = now;
            self.changed(now);
        }
    }

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
        match self.peers.hear(now, &from, source, boot, sequence) {
            Heard::Again => return,
            Heard::Behind(boot) => return self.tell(&from, Message::Behind(boot)),
            Heard::Known => {}
            Heard::Appeared | Heard::Restarted => {
                self.soon(now);
                self.welcome(&from);
            }
        }
        match message {
            Message::Heartbeat => {}
            Message::Hello(networks) => {
                if self.peers.set_networks(&from, networks) {
                    self.soon(now);
                }
            }
            Message::Leaving => {
                self.peers.leaving(&from);
                self.soon(now);
            }
            Message::Behind(boot) => self.outputs.push_back(Output::Boot(boot)),
            Message::YouOwn(claims) => {
                // Only one that has just been started can have forgotten.
                if self.listening {
                    let me = self.me.clone();
                    claims.into_iter().for_each(|claim| self.hear_claim(now, &me, claim));
                }
            }
            Message::Claims { claims, last } => {
                claims.into_iter().for_each(|claim| self.hear_claim(now, &from, claim));
                if last && self.listening {
                    // Each answer counts: it may be the last that is waited for.
                    self.answered.insert(from);
                    self.soon(now);
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
                    let settled = self
                        .claims
                        .vouch(now, &node, claim, |node| node == me || peers.lives(node, now));
                    self.settled(now, before, settled, &from, claim.address);
                }
            }
        }
    }

    /// The answer to an ARP request, when this node owns the address and announces it there.
    #[must_use]
    pub fn answer(&self, interface: u32, request: &arp::Request) -> Option<[u8; arp::FRAME]> {
        let port = self.announces(interface, request.target.into())?;
        // A frame for another host that reached us is for that host to answer.
        let for_us = request.destination.is_broadcast() || request.destination == port.mac;
        for_us.then(|| request.reply(port.mac))
    }

    /// The answer to a Neighbor Solicitation, when this node owns the address and announces it there.
    #[must_use]
    pub fn advertise(&self, interface: u32, solicitation: &ndp::Solicitation) -> Option<[u8; ndp::FRAME]> {
        let port = self.announces(interface, solicitation.target.into())?;
        let for_us = solicitation.destination.is_multicast() || solicitation.destination == port.mac;
        for_us.then(|| solicitation.advertisement(port.mac, port.link_local))
    }

    /// The interface, if this node owns the address and announces it there.
    fn announces(&self, interface: u32, address: IpAddr) -> Option<&Port> {
        let announced = self.owned.get(&address).filter(|_| !self.listening)?;
        announced.on.iter().find(|port| port.index == interface)
    }

    /// The process is about to end: others are asked to take over. What nobody takes stays announced until the end.
    pub fn leave(&mut self, now: Instant) {
        self.leaving = true;
        self.tell_living(now, &Message::Leaving);
        self.changed(now);
    }

    /// Whether nothing is owned any more.
    #[must_use]
    pub fn owns_nothing(&self) -> bool {
        self.owned.is_empty()
    }

    /// Does what is due.
    pub fn turn(&mut self, now: Instant) {
        self.excuse(now);
        if now >= self.next_hello {
            self.next_hello = now + HELLO;
            self.next_heartbeat = now + HEARTBEAT;
            self.tell_everybody(&Message::Hello(self.own_networks()));
        } else if now >= self.next_heartbeat {
            self.next_heartbeat = now + HEARTBEAT;
            // Said again and again: it may be lost.
            self.tell_living(
                now,
                if self.leaving {
                    &Message::Leaving
                } else {
                    &Message::Heartbeat
                },
            );
        }
        if now >= self.next_repeat {
            self.next_repeat = now + REPEAT;
            let me = self.me.clone();
            self.claims.refresh(now, &me);
            for message in self.own_claims() {
                self.tell_everybody(&message);
            }
        }
        self.consider(now);
        for address in self.announcements.due(now) {
            self.announce(address);
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::turn`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.facts.is_none() || self.interfaces.is_none() {
            return None;
        }
        let timers = [Some(self.next_heartbeat), Some(self.next_hello), Some(self.next_repeat)];
        timers
            .into_iter()
            .chain([self.announcements.next(), self.recheck, self.dirty])
            .flatten()
            .min()
    }

    /// Looks at ownership again, since something has changed.
    fn changed(&mut self, now: Instant) {
        self.excuse(now);
        self.soon(now);
        self.consider(now);
    }

    /// Something has changed: ownership is to be looked at again in the next turn.
    fn soon(&mut self, now: Instant) {
        self.dirty.get_or_insert(now);
    }

    /// Looks at ownership again if there is reason to.
    fn consider(&mut self, now: Instant) {
        let due = self.dirty.is_some() || self.recheck.is_some_and(|at| at <= now);
        if due && self.may_decide(now) {
            self.dirty = None;
            self.settle(now);
        }
    }

    /// A turn that comes late was held up, and so was the reading of what the others have said meanwhile: nobody is dead for that.
    fn excuse(&mut self, now: Instant) {
        if let Some(due) = self.next_deadline()
            && let Some(pause) = now.checked_duration_since(due).filter(|pause| *pause > LATE)
        {
            self.peers.excuse(now, pause);
        }
    }

    /// A new speaker listens first: what is owned stays with its owner.
    fn may_decide(&mut self, now: Instant) -> bool {
        let (Some(facts), Some(_)) = (&self.facts, &self.interfaces) else {
            return false;
        };
        let until = *self.listen_until.get_or_insert(now + LISTEN);
        if self.listening {
            let all_answered = facts
                .nodes
                .keys()
                .all(|node| *node == self.me || self.answered.contains(node));
            self.listening = now < until && !all_answered;
            // Nothing else is rechecked before: what comes next is set when ownership is decided.
            self.recheck = Some(until);
            self.dirty = None;
        }
        !self.listening
    }

    /// The networks of every node whose speaker is alive and stays, and of this one.
    fn networks(&self, now: Instant) -> BTreeMap<NodeName, Vec<Network>> {
        let peers = self
            .peers
            .networks(now)
            .map(|(node, networks)| (node.clone(), networks.clone()));
        peers.chain([(self.me.clone(), self.own_networks())]).collect()
    }

    fn hear_claim(&mut self, now: Instant, node: &NodeName, claim: Claim) {
        let before = self.holder_of(claim.address);
        let (me, peers) = (&self.me, &self.peers);
        let settled = self
            .claims
            .hear(now, node, claim, |node| node == me || peers.lives(node, now));
        self.settled(now, before, settled, node, claim.address);
    }

    fn holder_of(&self, address: IpAddr) -> Option<NodeName> {
        self.claims.holder(address).map(|holder| holder.node.clone())
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
                if before.as_ref() == Some(&self.me) {
                    let (times, last) = self.outbid.entry(address).or_insert((0, now));
                    *times = if now > *last + CALM { 1 } else { times.saturating_add(1) };
                    *last = now;
                }
                self.soon(now);
            }
            Settled::Outdated => self.contradict(teller, address),
        }
    }

    fn announce(&mut self, address: IpAddr) {
        let Some(announced) = self.owned.get(&address) else {
            return;
        };
        for port in &announced.on {
            let frames: Vec<Vec<u8>> = match address {
                IpAddr::V4(v4) => arp::gratuitous(port.mac, v4).map(Vec::from).into(),
                IpAddr::V6(v6) => vec![ndp::unsolicited(port.mac, port.link_local, v6).into()],
            };
            self.outputs.extend(frames.into_iter().map(|frame| Output::Frame {
                interface: port.index,
                frame,
            }));
        }
    }
}

#[cfg(test)]
mod tests;
