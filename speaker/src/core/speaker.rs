//! One speaker: hears facts, messages and frames, and says what to send, what to announce and what this node owns.
//!
//! Whoever drives it calls [`Speaker::turn`] no later than [`Speaker::next_deadline`], and takes everything from [`Speaker::poll`] after
//! each call. Calls that come early, late or for nothing do no harm.

mod asking;
mod describe;
mod electing;
mod frames;
mod hearing;
mod looking;
mod output;
mod ownership;
mod owning;
mod standing_in;
mod talk;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

pub use frames::Kind;
use output::{Announced, Port};
pub use output::{Cause, Counts, Happening, Output, Owned, Traffic};

use super::{
    announce::Announcements,
    check::Check,
    claims::Claims,
    eligibility::AllVerdicts,
    facts::Facts,
    interface::Interface,
    link::HEARTBEAT,
    peers::{Peers, Phase, cycle},
    preflight::{Kernel, Problem},
    probe::Probes,
    ring::Ring,
    settings::Settings,
};
use crate::wire::message::{Message, Network, NodeName};
use asking::Neighbours;

/// How long a new speaker listens before it claims anything, unless all others have answered before.
const LISTEN: Duration = Duration::from_secs(1);

/// A turn that comes later than this was held up by something outside: the process, or the whole node, did not run.
const LATE: Duration = Duration::from_millis(30);

/// One speaker.
#[derive(Clone, Debug)]
pub struct Speaker {
    me: NodeName,
    settings: Settings,
    facts: Option<Arc<Facts>>,
    interfaces: Option<Vec<Interface>>,
    peers: Peers,
    ring: Ring,
    claims: Claims,
    announcements: Announcements,
    probes: Probes,
    owned: BTreeMap<IpAddr, Announced>,
    /// What this node answers for in place of another one: with that one's MAC.
    stood_in: BTreeMap<IpAddr, StandIn>,
    groups: BTreeSet<(u32, Ipv6Addr)>,
    /// The verdicts on all addresses, until something changes that they depend on.
    verdicts: Option<Arc<AllVerdicts>>,
    /// Those who could take an address when the verdicts were made.
    takers: BTreeSet<NodeName>,
    /// Since when an address that somebody could own has had no owner.
    unowned: BTreeMap<IpAddr, Instant>,
    /// Since when this node would be the better owner of an address.
    better: BTreeMap<IpAddr, Instant>,
    /// Since when this node may no longer own an address that it goes on announcing until another one begins.
    lingering: BTreeMap<IpAddr, Instant>,
    /// Since when no node may own an address, and the reasons that were told.
    hopeless: BTreeMap<IpAddr, (Instant, Option<BTreeMap<NodeName, super::eligibility::Reason>>)>,
    /// How often, and when, another node outbid us: two that disagree on who may own an address must not outbid each other for ever.
    outbid: BTreeMap<IpAddr, (u32, Instant)>,
    /// Why this node has taken what it owns, and from whom.
    causes: BTreeMap<IpAddr, (Option<NodeName>, Cause)>,
    /// Nodes that are asked after on the wire.
    checks: BTreeMap<NodeName, Check>,
    /// Nodes whose answers have been heard on the wire: of these silence means something.
    on_wire: BTreeSet<NodeName>,
    /// Whose MAC is whose.
    macs: BTreeMap<[u8; 6], NodeName>,
    neighbours: Neighbours,
    /// How the kernel is set, and what was last said to be wrong with the node.
    kernel: Kernel,
    problems: Option<BTreeSet<Problem>>,
    /// How often somebody was asked after.
    asked: usize,
    /// What was known of those that are watched, to notice what changes.
    phases: BTreeMap<NodeName, Phase>,
    /// Those that are heard by no way.
    unheard: BTreeSet<NodeName>,
    /// Suspicions that are to be told once more.
    retell: BTreeMap<NodeName, (u32, Instant)>,
    /// When this node last said that it lives since somebody doubted it, and when it is to say so again.
    refuted: Option<Instant>,
    refute_due: Option<Instant>,
    /// Those that were told to watch this node.
    watchers: BTreeSet<NodeName>,
    /// Those that are heard where they announce, and not at their addresses in Kubernetes.
    only_on_lan: BTreeSet<NodeName>,
    /// Until when to listen; `None` before facts and interfaces are known.
    listen_until: Option<Instant>,
    listening: bool,
    answered: BTreeSet<NodeName>,
    /// Whether this speaker is about to end, and hands over then.
    leaving: Option<bool>,
    /// What others answer for in our place, by their own word.
    covered: BTreeSet<IpAddr>,
    /// What was last said to be owned.
    reported: Option<Vec<Owned>>,
    counts: Counts,
    /// Ownership is to be looked at again, now that something has changed, or at the other time.
    dirty: Option<Instant>,
    recheck: Option<Instant>,
    next_liveness: Option<Instant>,
    next_heartbeat: Instant,
    next_repeat: Instant,
    /// To whom everything was last repeated.
    repeated_to: Option<NodeName>,
    next_baseline: Instant,
    outputs: VecDeque<Output>,
}

/// How an address is answered for in place of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StandIn {
    owner: NodeName,
    on: Vec<(Port, [u8; 6])>,
}

impl Speaker {
    /// The speaker of node `me`, which knows nothing yet.
    #[must_use]
    pub fn new(now: Instant, me: NodeName, settings: Settings) -> Self {
        Self {
            me,
            settings,
            facts: None,
            interfaces: None,
            peers: Peers::default(),
            ring: Ring::default(),
            claims: Claims::default(),
            announcements: Announcements::new(settings.refresh),
            probes: Probes::default(),
            owned: BTreeMap::new(),
            stood_in: BTreeMap::new(),
            groups: BTreeSet::new(),
            verdicts: None,
            takers: BTreeSet::new(),
            unowned: BTreeMap::new(),
            better: BTreeMap::new(),
            lingering: BTreeMap::new(),
            hopeless: BTreeMap::new(),
            outbid: BTreeMap::new(),
            causes: BTreeMap::new(),
            checks: BTreeMap::new(),
            on_wire: BTreeSet::new(),
            macs: BTreeMap::new(),
            neighbours: Neighbours::default(),
            kernel: Kernel::default(),
            problems: None,
            asked: 0,
            phases: BTreeMap::new(),
            unheard: BTreeSet::new(),
            retell: BTreeMap::new(),
            refuted: None,
            refute_due: None,
            watchers: BTreeSet::new(),
            only_on_lan: BTreeSet::new(),
            listen_until: None,
            listening: true,
            answered: BTreeSet::new(),
            leaving: None,
            covered: BTreeSet::new(),
            reported: None,
            counts: Counts::default(),
            dirty: None,
            recheck: None,
            next_liveness: None,
            next_heartbeat: now,
            next_repeat: now,
            repeated_to: None,
            next_baseline: now,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what is known from Kubernetes.
    pub fn facts(&mut self, now: Instant, facts: Arc<Facts>) {
        let first = self.facts.is_none();
        self.peers.retain(now, &facts);
        self.forget_gone(&facts);
        self.outbid.retain(|address, _| facts.addresses.contains_key(address));
        // Others may know of an address before we do: what they say of it is kept for as long as they say it.
        let me = self.me.clone();
        self.claims.retain(now, &me, cycle(facts.nodes.len()), |address| {
            facts.addresses.contains_key(&address)
        });
        self.unowned.retain(|address, _| facts.addresses.contains_key(address));
        self.better.retain(|address, _| facts.addresses.contains_key(address));
        self.hopeless.retain(|address, _| facts.addresses.contains_key(address));
        self.counts
            .traffic
            .retain(|address, _| facts.addresses.contains_key(address));
        self.facts = Some(facts);
        self.redraw_ring();
        self.verdicts = None;
        if first && self.interfaces.is_some() {
            self.greet();
        }
        self.changed(now);
    }

    /// Takes in the interfaces of this node.
    pub fn interfaces(&mut self, now: Instant, interfaces: Vec<Interface>) {
        if self.interfaces.as_ref() != Some(&interfaces) {
            self.interfaces = Some(interfaces);
            self.verdicts = None;
            self.groups.clear();
            // The others are to know at once.
            self.greet();
            self.changed(now);
        }
    }

    /// Takes in how the kernel of this node is set.
    pub fn kernel(&mut self, now: Instant, kernel: Kernel) {
        self.kernel = kernel;
        self.look_at_node(now);
    }

    /// The kernel of another node has said that nobody listens there: its speaker is away, most likely, and the node lives. This may be
    /// forged, so it is worth a doubt and no more.
    pub fn unreachable(&mut self, now: Instant, node: &NodeName) {
        if self.peers.refused(now, node) {
            self.notice(now, node);
        }
    }

    /// The process is about to end. Others stand in for this node until it is back, or take over if it does not stay. What nobody answers for
    /// stays announced until the end.
    pub fn leave(&mut self, now: Instant) {
        let draining = self.facts.as_ref().and_then(|facts| facts.nodes.get(&self.me));
        let handover =
            self.settings.caretaker == super::settings::Caretaker::Off || draining.is_some_and(|node| node.draining);
        self.leaving = Some(handover);
        self.tell_everybody(&Message::Leaving { handover });
        self.changed(now);
    }

    /// Whether everything that is announced is answered for by others.
    #[must_use]
    pub fn may_end(&self) -> bool {
        self.announced().all(|owned| self.covered.contains(&owned.address))
    }

    /// Does what is due.
    pub fn turn(&mut self, now: Instant) {
        self.excuse(now);
        if now >= self.next_heartbeat {
            self.next_heartbeat = now + HEARTBEAT;
            self.beat(now);
        }
        if now >= self.next_repeat {
            self.repeat(now);
        }
        if self.next_liveness.is_some_and(|at| at <= now) {
            self.watch(now);
        }
        if self.refute_due.is_some_and(|at| at <= now) {
            self.refute(now);
        }
        self.probe(now);
        self.consider(now);
        self.ask(now);
        for address in self.announcements.due(now) {
            self.announce(address);
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The node of this speaker.
    #[must_use]
    pub const fn node(&self) -> &NodeName {
        &self.me
    }

    /// What it announces at this moment.
    pub fn announced(&self) -> impl Iterator<Item = &Owned> {
        let owned = self.owned.values().map(|announced| &announced.owned);
        owned.filter(|owned| self.probes.is_clear(owned.address))
    }

    /// Whether the API server has told the configuration.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.facts.is_some()
    }

    /// Whether a part of the configuration is not in use because something is wrong with it.
    #[must_use]
    pub fn has_refused_configuration(&self) -> bool {
        self.facts
            .as_ref()
            .is_some_and(|facts| !facts.config.refused.is_empty())
    }

    /// How often a foreign host used an address of this node.
    #[must_use]
    pub const fn conflicts(&self) -> u64 {
        self.probes.conflicts()
    }

    /// All other speakers: whether each is silent, and how much of what it says is lost, where this node watches it.
    pub fn peers(&self, now: Instant) -> impl Iterator<Item = (&NodeName, bool, Option<f64>)> {
        self.peers.nodes().map(move |node| {
            let loss = self.peers.watches(node).then(|| self.peers.loss(node));
            (node, !self.peers.lives(node, now), loss)
        })
    }

    /// What has happened so far, counted.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// When [`Self::turn`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.facts.is_none() || self.interfaces.is_none() {
            return None;
        }
        let timers = [Some(self.next_heartbeat), Some(self.next_repeat), self.next_liveness];
        timers
            .into_iter()
            .chain([self.announcements.next(), self.probes.next(), self.next_ask()])
            .chain([self.recheck, self.dirty, self.refute_due])
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
            self.next_liveness = Some(now);
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
                .all(|node| *node == self.me || (self.answered.contains(node) && self.peers.has_said_networks(node)));
            self.listening = now < until && !all_answered;
            // Nothing else is rechecked before: what comes next is set when ownership is decided.
            self.recheck = Some(until);
            self.dirty = None;
        }
        !self.listening
    }

    /// The networks of every node that can take an address, of which this is one.
    fn networks(&self, now: Instant) -> BTreeMap<NodeName, Vec<Network>> {
        let peers = self
            .peers
            .networks(now)
            .map(|(node, networks)| (node.clone(), networks.clone()));
        peers.chain([(self.me.clone(), self.own_networks())]).collect()
    }

    fn redraw_ring(&mut self) {
        let facts = self.facts.iter().flat_map(|facts| facts.nodes.keys());
        self.ring = Ring::new(facts.chain(self.peers.nodes()).chain([&self.me]));
    }

    fn holder_of(&self, address: IpAddr) -> Option<NodeName> {
        self.claims.holder(address).map(|holder| holder.node.clone())
    }
}

#[cfg(test)]
pub(crate) mod tests;
