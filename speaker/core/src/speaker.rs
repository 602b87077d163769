//! One speaker: hears facts, messages and frames, and says what to send, what to announce and what this node owns.
//!
//! Whoever drives it calls [`Speaker::handle_timeout`] no later than [`Speaker::next_timeout`], and takes everything from [`Speaker::poll_output`] after
//! each call. Calls that come early, late or for nothing do no harm.

mod asking;
mod debug_state;
mod electing;
mod frames;
mod inputs;
mod looking;
mod messages;
mod ownership;
mod owning;
mod retelling;
mod standing_in;
mod sync;
mod watching;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::output::{Announced, Port};
pub use crate::output::{Cause, Counts, Event, Output, OwnedAddress, Traffic};
pub use frames::FrameKind;

use crate::core::{
    announce::Announcements,
    check::Check,
    claims::Claims,
    eligibility::AllVerdicts,
    facts::ClusterSnapshot,
    interface::Interface,
    link::HEARTBEAT,
    peers::{Peers, Phase},
    preflight::{Kernel, Problem},
    probe::Probes,
    ring::Ring,
    settings::Settings,
};
use crate::wire::message::{Network, NodeName};
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
    facts: Option<Arc<ClusterSnapshot>>,
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
    hopeless: BTreeMap<IpAddr, (Instant, Option<BTreeMap<NodeName, crate::core::eligibility::Reason>>)>,
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
    /// Claims that those who owned before have not answered.
    unanswered: BTreeMap<IpAddr, retelling::Unanswered>,
    /// What others answer for in our place, by their own word.
    covered: BTreeSet<IpAddr>,
    /// What was last said to be owned.
    reported: Option<Vec<OwnedAddress>>,
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
            unanswered: BTreeMap::new(),
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

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
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
        self.claim_again(now);
        self.ask(now);
        for address in self.announcements.due(now) {
            self.announce(address);
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.facts.is_none() || self.interfaces.is_none() {
            return None;
        }
        let timers = [Some(self.next_heartbeat), Some(self.next_repeat), self.next_liveness];
        timers
            .into_iter()
            .chain([self.announcements.next(), self.probes.next(), self.next_ask()])
            .chain([self.recheck, self.dirty, self.refute_due, self.next_claim_again()])
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
        if let Some(due) = self.next_timeout()
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
