//! One speaker: hears facts, messages and requests, and says what to send, what to announce and what this node owns.
//!
//! Whoever drives it calls [`Speaker::turn`] no later than [`Speaker::next_deadline`], and takes everything from [`Speaker::poll`] after
//! each call. Calls that come early, late or for nothing do no harm.

mod ownership;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use lodestone_daemon::ObjectKey;
use pnet_base::MacAddr;
use serde_json::json;

use super::{
    announce::Announcements,
    claims::{Claims, REPEAT, Settled},
    eligibility::verdicts,
    facts::Facts,
    interface::Interface,
    peers::{HEARTBEAT, HELLO, Heard, Peers},
};
use crate::wire::{
    arp::{FRAME, Request, gratuitous},
    message::{CLAIMS_PER_MESSAGE, Claim, Datagram, Message, Network, NodeName},
};

/// How long a new speaker listens before it claims anything, unless all others have answered before.
const LISTEN: Duration = Duration::from_secs(1);

/// A turn that comes later than this was held up by something outside: the process, or the whole node, did not run.
const LATE: Duration = Duration::from_millis(250);

/// What a speaker wants to have done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a message to the speaker of a node.
    Send {
        /// Its address.
        to: IpAddr,
        /// What to say.
        message: Message,
    },
    /// Send a frame.
    Frame {
        /// The index of the interface.
        interface: u32,
        /// The whole frame.
        frame: [u8; FRAME],
    },
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
}

/// How an owned address is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Announced {
    owned: Owned,
    /// Index and MAC of each interface.
    on: Vec<(u32, MacAddr)>,
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
    /// Since when an address that somebody could own has had no owner.
    unowned: BTreeMap<IpAddr, Instant>,
    /// Until when to listen; `None` before facts and interfaces are known.
    listen_until: Option<Instant>,
    listening: bool,
    answered: BTreeSet<NodeName>,
    leaving: bool,
    /// Whether it was ever said what is owned.
    reported: bool,
    /// Ownership is to be looked at again, at once or at this time.
    dirty: bool,
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
            unowned: BTreeMap::new(),
            listen_until: None,
            listening: true,
            answered: BTreeSet::new(),
            leaving: false,
            reported: false,
            dirty: false,
            recheck: None,
            next_heartbeat: now,
            next_hello: now,
            next_repeat: now,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what is known from Kubernetes.
    pub fn facts(&mut self, now: Instant, facts: Arc<Facts>) {
        self.peers.retain(&facts);
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

    /// Takes in a message of another speaker.
    pub fn datagram(&mut self, now: Instant, datagram: Datagram) {
        let Datagram {
            from,
            boot,
            sequence,
            message,
        } = datagram;
        let Some(facts) = self.facts.clone() else { return };
        if from == self.me {
            return;
        }
        match self.peers.hear(now, &facts, &from, boot, sequence) {
            Heard::Ignored => return,
            Heard::Known => {}
            Heard::Appeared | Heard::Restarted => {
                self.dirty = true;
                self.welcome(&from);
            }
        }
        match message {
            Message::Heartbeat => {}
            Message::Hello(networks) => self.dirty |= self.peers.set_networks(&from, networks),
            Message::Leaving => {
                self.peers.leaving(&from);
                self.dirty = true;
            }
            Message::YouOwn(claims) => {
                // Only one that has just been started can have forgotten.
                if self.listening {
                    let me = self.me.clone();
                    claims.into_iter().for_each(|claim| self.hear_claim(now, &me, claim));
                }
            }
            Message::Claims(claims) => {
                self.answered.insert(from.clone());
                // While it listens each answer counts: it may be the last that is waited for.
                self.dirty |= self.listening;
                claims.into_iter().for_each(|claim| self.hear_claim(now, &from, claim));
            }
        }
        self.consider(now);
    }

    /// The answer to a request, when this node owns the address and announces it there.
    #[must_use]
    pub fn answer(&self, interface: u32, request: &Request) -> Option<[u8; FRAME]> {
        let announced = self.owned.get(&IpAddr::V4(request.target))?;
        let (_, mac) = announced.on.iter().find(|(index, _)| *index == interface)?;
        // A frame for another host that reached us is for that host to answer.
        let for_us = request.destination.is_broadcast() || request.destination == *mac;
        (for_us && !self.listening).then(|| request.reply(*mac))
    }

    /// The process is about to end: others are asked to take over. What nobody takes stays announced until the end.
    pub fn leave(&mut self, now: Instant) {
        self.leaving = true;
        self.tell_all(now, &Message::Leaving);
        self.changed(now);
    }

    /// Whether nothing is owned any more.
    #[must_use]
    pub fn owns_nothing(&self) -> bool {
        self.owned.is_empty()
    }

    /// Does what is due.
    pub fn turn(&mut self, now: Instant) {
        if let Some(due) = self.next_deadline()
            && let Some(pause) = now.checked_duration_since(due).filter(|pause| *pause > LATE)
        {
            self.peers.excuse(now, pause);
        }
        if now >= self.next_hello {
            self.next_hello = now + HELLO;
            self.next_heartbeat = now + HEARTBEAT;
            self.say_hello();
        } else if now >= self.next_heartbeat {
            self.next_heartbeat = now + HEARTBEAT;
            self.tell_all(now, &Message::Heartbeat);
        }
        if now >= self.next_repeat {
            self.next_repeat = now + REPEAT;
            let me = self.me.clone();
            self.claims.refresh(now, &me);
            self.tell_claims(now);
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
            .chain([self.announcements.next(), self.recheck])
            .flatten()
            .min()
    }

    /// What is known and why things are as they are, for `/debug/state`.
    #[must_use]
    pub fn describe(&self, now: Instant) -> serde_json::Value {
        let Some(facts) = &self.facts else {
            return json!({"waiting": "for the API server"});
        };
        let networks = self.networks(now);
        let addresses: serde_json::Map<_, _> = facts
            .addresses
            .iter()
            .map(|(address, tenants)| {
                let verdicts = verdicts(facts, &networks, *address);
                let nodes: serde_json::Map<_, _> = verdicts
                    .iter()
                    .map(|(node, verdict)| {
                        let text = verdict
                            .as_ref()
                            .map_or_else(ToString::to_string, |_| "may own it".to_owned());
                        (node.to_string(), text.into())
                    })
                    .collect();
                let holder = self.claims.holder(*address);
                let owner = holder.map(|holder| json!({"node": &*holder.node, "epoch": holder.epoch}));
                let services: Vec<String> = tenants.iter().map(|tenant| tenant.service.to_string()).collect();
                let mine = self.owned.contains_key(address);
                (
                    address.to_string(),
                    json!({"services": services, "claimedBy": owner, "announcedHere": mine, "nodes": nodes}),
                )
            })
            .collect();
        let peers: Vec<&str> = facts
            .nodes
            .keys()
            .filter(|node| self.peers.lives(node, now))
            .map(|node| &**node)
            .collect();
        json!({
            "node": &*self.me, "listening": self.listening, "leaving": self.leaving, "peersAlive": peers,
            "interfaces": self.interfaces, "addresses": addresses,
        })
    }

    /// Looks at ownership again, since something has changed.
    fn changed(&mut self, now: Instant) {
        self.dirty = true;
        self.consider(now);
    }

    /// Looks at ownership again if there is reason to.
    fn consider(&mut self, now: Instant) {
        let due = self.dirty || self.recheck.is_some_and(|at| at <= now);
        if due && self.may_decide(now) {
            self.dirty = false;
            self.settle(now);
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

    fn own_networks(&self) -> Vec<Network> {
        let interfaces = self.interfaces.iter().flatten();
        interfaces
            .filter(|interface| interface.can_announce())
            .map(Interface::network)
            .collect()
    }

    fn hear_claim(&mut self, now: Instant, node: &NodeName, claim: Claim) {
        match self.claims.hear(now, node, claim) {
            Settled::Same => {}
            Settled::Changed => self.dirty = true,
            Settled::Outdated => self.contradict(node, claim.address),
        }
    }

    /// Somebody claims what is ours: they are told, and so are the neighbours, who may have heard them.
    fn contradict(&mut self, node: &NodeName, address: IpAddr) {
        let ours = self
            .claims
            .holder(address)
            .filter(|holder| holder.node == self.me)
            .map(|holder| holder.epoch);
        if let Some(epoch) = ours {
            self.tell(node, Message::Claims(vec![Claim { address, epoch }]));
            self.announce(address);
        }
    }

    /// Tells a speaker that has just come all that it needs.
    fn welcome(&mut self, node: &NodeName) {
        self.tell(node, Message::Hello(self.own_networks()));
        for claims in self.claims.of(node).chunks(CLAIMS_PER_MESSAGE) {
            self.tell(node, Message::YouOwn(claims.to_vec()));
        }
        for message in self.own_claims() {
            self.tell(node, message);
        }
    }

    /// All claims of this node, in at least one message: that there are none is an answer, too.
    fn own_claims(&self) -> Vec<Message> {
        let claims = self.claims.of(&self.me);
        if claims.is_empty() {
            return vec![Message::Claims(vec![])];
        }
        claims
            .chunks(CLAIMS_PER_MESSAGE)
            .map(|claims| Message::Claims(claims.to_vec()))
            .collect()
    }

    fn tell_claims(&mut self, now: Instant) {
        for message in self.own_claims() {
            self.tell_all(now, &message);
        }
    }

    /// To every node of the cluster, whether it has a speaker or not: that is how one is found.
    fn say_hello(&mut self) {
        let message = Message::Hello(self.own_networks());
        let facts = self.facts.clone();
        for node in facts.iter().flat_map(|facts| facts.nodes.keys()) {
            if *node != self.me {
                self.tell(node, message.clone());
            }
        }
    }

    fn tell_all(&mut self, now: Instant, message: &Message) {
        let facts = self.facts.clone();
        for node in facts.iter().flat_map(|facts| facts.nodes.keys()) {
            if self.peers.lives(node, now) {
                self.tell(node, message.clone());
            }
        }
    }

    fn tell(&mut self, node: &NodeName, message: Message) {
        let address = self.facts.as_ref().and_then(|facts| facts.nodes.get(node)?.address);
        if let Some(to) = address {
            self.outputs.push_back(Output::Send { to, message });
        }
    }

    fn announce(&mut self, address: IpAddr) {
        let (IpAddr::V4(v4), Some(announced)) = (address, self.owned.get(&address)) else {
            return;
        };
        for (interface, mac) in &announced.on {
            for frame in gratuitous(*mac, v4) {
                self.outputs.push_back(Output::Frame {
                    interface: *interface,
                    frame,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
