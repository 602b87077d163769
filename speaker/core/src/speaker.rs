//! One speaker, composed of its parts.
//!
//! Each part owns its fields. This module passes what one part found to the next:
//! ```text
//!   snapshot, interfaces, frames, datagrams, timeouts
//!        │
//!   node ──► lan ──► liveness ──► ownership ──► sync      (each part reads those to its left)
//!        │
//!   outbox, timers, stats                                 (each part writes to these)
//! ```

mod debug_state;
mod inputs;
mod messages;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

pub use debug_state::DebugState;

use crate::{
    context::{Context, Sinks},
    lan::Lan,
    liveness::{Liveness, Review, View},
    node::NodeState,
    output::{Output, OwnedAddress},
    ownership::{Decision, Ownership},
    settings::Settings,
    stats::Stats,
    sync::{StateSync, own_claims},
    timers::Timer,
    types::{InterfaceIndex, NodeName},
    wire::message::Message,
};

/// A timeout handled later than this was delayed from outside: the process, or the node, did not run.
const LATE: Duration = Duration::from_millis(30);

/// How long an interface may hear no broadcast while peers send one every ten seconds there.
const DEAF_AFTER: Duration = Duration::from_secs(60);

/// The speaker of one node: decides what to send, what to announce, and what this node owns.
///
/// The driver calls the `handle_*` methods with what it receives, [`Self::handle_timeout`] no later than
/// [`Self::next_timeout`], and after each call takes everything from [`Self::poll_output`]. Calls that
/// come early, late or for nothing do no harm.
#[derive(Clone, Debug)]
pub struct Speaker {
    context: Context,
    node: NodeState,
    lan: Lan,
    liveness: Liveness,
    ownership: Ownership,
    sync: StateSync,
    sinks: Sinks,
}

/// Borrows what the parts write to.
macro_rules! turn {
    ($speaker:ident, $now:expr) => {
        &mut $crate::context::Turn::new($now, &$speaker.context, &mut $speaker.sinks)
    };
}

/// Borrows the peers as this node sees them.
macro_rules! view {
    ($speaker:ident, $now:expr) => {
        &$speaker
            .liveness
            .view($now, &$speaker.context, $crate::speaker::surroundings!($speaker))
    };
}

/// Borrows the interfaces and what is heard on them.
macro_rules! surroundings {
    ($speaker:ident) => {
        $crate::liveness::Surroundings {
            node: &$speaker.node,
            neighbours: $speaker.lan.neighbours(),
        }
    };
}

/// Borrows what the full state is made of.
macro_rules! full_state {
    ($speaker:ident) => {
        $crate::sync::FullState {
            node: &$speaker.node,
            peers: $speaker.liveness.peers(),
            ownership: &$speaker.ownership,
            lan: &$speaker.lan,
        }
    };
}

pub(crate) use {full_state, surroundings, turn, view};

impl Speaker {
    /// The speaker of node `me`, which knows nothing yet.
    #[must_use]
    pub fn new(now: Instant, me: NodeName, settings: Settings) -> Self {
        let mut sinks = Sinks::default();
        for timer in [Timer::Heartbeat, Timer::AntiEntropy, Timer::WireBaseline] {
            sinks.timers.set(timer, Some(now));
        }
        Self {
            context: Context {
                me,
                settings,
                snapshot: None,
                listening: true,
                shutdown: None,
            },
            node: NodeState::default(),
            lan: Lan::new(settings.refresh),
            liveness: Liveness::default(),
            ownership: Ownership::default(),
            sync: StateSync::default(),
            sinks,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.excuse_pause(now);
        if self.sinks.timers.is_due(Timer::Heartbeat, now) {
            let next = now + crate::liveness::adaptive_timeout::HEARTBEAT_INTERVAL;
            self.sinks.timers.set(Timer::Heartbeat, Some(next));
            self.liveness.send_heartbeats(turn!(self, now));
        }
        if self.sinks.timers.is_due(Timer::AntiEntropy, now) {
            self.ownership.keep_own_claims_fresh(now, &self.context.me);
            let cycle = self.liveness.cycle();
            self.sync.resync_next(turn!(self, now), cycle, full_state!(self));
        }
        if self.sinks.timers.is_due(Timer::FailureDetection, now) {
            self.review_peers(now);
        }
        if self.sinks.timers.is_due(Timer::Refutation, now) {
            self.refute(now);
        }
        self.run_conflict_detection(now);
        self.review_ownership_if_due(now);
        self.ownership.retransmit_claims(turn!(self, now));
        self.ask_on_wire(now);
        self.lan.send_due_announcements(turn!(self, now));
        self.lan.arm(turn!(self, now));
    }

    /// The next output, if there is one.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.sinks.outbox.pop()
    }

    /// When [`Self::handle_timeout`] is due. Any call of a `handle_*` method may change it.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let is_ready = self.context.snapshot.is_some() && self.node.is_known();
        self.sinks.timers.next().filter(|_| is_ready)
    }

    /// The node of this speaker.
    #[must_use]
    pub const fn node(&self) -> &NodeName {
        &self.context.me
    }

    /// The addresses that this node announces now.
    pub fn announced_addresses(&self) -> impl Iterator<Item = &OwnedAddress> {
        self.lan.announced()
    }

    /// Whether the API server has reported the configuration.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.context.snapshot.is_some()
    }

    /// Whether a part of the configuration was refused.
    #[must_use]
    pub fn has_refused_configuration(&self) -> bool {
        let snapshot = self.context.snapshot.as_ref();
        snapshot.is_some_and(|snapshot| !snapshot.config.refused.is_empty())
    }

    /// How often a foreign host used an address of this node.
    #[must_use]
    pub const fn conflict_count(&self) -> u64 {
        self.lan.conflicts().conflict_count()
    }

    /// All other speakers that were heard: whether each has failed, and which share of its messages is
    /// lost, from 0 to 1, if this node watches it.
    pub fn peers(&self, now: Instant) -> impl Iterator<Item = (&NodeName, bool, Option<f64>)> {
        let peers = self.liveness.peers();
        peers.nodes().map(move |node| {
            let loss = peers.watches(node).then(|| peers.loss(node));
            (node, !peers.is_alive(node, now), loss)
        })
    }

    /// The counters since the start.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.sinks.stats
    }
}

/// Ownership.
impl Speaker {
    /// Reviews ownership now, because something changed.
    fn handle_change(&mut self, now: Instant) {
        self.lan.arm(turn!(self, now));
        self.excuse_pause(now);
        turn!(self, now).request_review();
        self.review_ownership_if_due(now);
        self.lan.arm(turn!(self, now));
    }

    fn review_ownership_if_due(&mut self, now: Instant) {
        let timers = &self.sinks.timers;
        let due = timers.get(Timer::OwnershipReview).is_some() || timers.is_due(Timer::OwnershipRecheck, now);
        if due && self.may_decide(now) {
            self.sinks.timers.set(Timer::OwnershipReview, None);
            self.review_ownership(now);
        }
    }

    /// Whether this speaker has listened for long enough to decide: what is owned stays with its owner.
    fn may_decide(&mut self, now: Instant) -> bool {
        let Some(snapshot) = self.context.snapshot.as_ref().filter(|_| self.node.is_known()) else {
            return false;
        };
        let until = self.sync.listen_until(now);
        if self.context.listening {
            let complete = self.sync.is_complete(&self.context, snapshot, self.liveness.peers());
            self.context.listening = now < until && !complete;
            // Nothing else is due before: a review of ownership sets what comes next.
            self.sinks.timers.set(Timer::OwnershipRecheck, Some(until));
            self.sinks.timers.set(Timer::OwnershipReview, None);
        }
        !self.context.listening
    }

    fn review_ownership(&mut self, now: Instant) {
        let (view, turn) = (view!(self, now), turn!(self, now));
        let Some(decision) = self.ownership.decide(turn, view, self.lan.owned()) else {
            return;
        };
        let Decision {
            announce,
            duties,
            checks,
            recheck,
        } = decision;
        self.liveness.set_checks(turn, &checks);
        turn.timers.set(Timer::OwnershipRecheck, recheck);
        for owner in self.lan.set_duties(turn, duties) {
            if self.liveness.peers().leaving(&owner).is_some() {
                self.lan.confirm_duties(turn, &owner);
            }
        }
        self.apply_ownership(now, announce);
    }

    /// Goes over to announcing these addresses.
    fn apply_ownership(&mut self, now: Instant, announce: BTreeMap<IpAddr, crate::lan::Announcement>) {
        let turn = turn!(self, now);
        let lost = self.lan.withdraw_except(&announce);
        self.ownership.give_up(turn, &lost);
        let owned = self.lan.owned();
        let is_new = |address| announce.contains_key(&address) && !owned.contains_key(&address);
        let gained = self.ownership.own_claims(&turn.context.me, is_new);
        let tentative = gained.iter().filter(|claim| claim.tentative);
        self.lan.set_owned(turn, announce, tentative.map(|claim| claim.address));
        self.ownership.publish(turn, &gained);
        self.ownership.report_taken(turn, &gained, &self.lan);
        self.lan.report_announced(turn);
        self.run_conflict_detection(now);
        self.lan.send_due_announcements(turn!(self, now));
    }

    fn run_conflict_detection(&mut self, now: Instant) {
        let turn = turn!(self, now);
        let cleared = self.lan.run_conflict_detection(turn);
        self.ownership.confirm(turn, &cleared);
    }
}

/// Liveness.
impl Speaker {
    /// A timeout that comes late was delayed, and so was the reading of messages: no peer is dead for that.
    fn excuse_pause(&mut self, now: Instant) {
        let pause = self.next_timeout().and_then(|due| now.checked_duration_since(due));
        if let Some(pause) = pause.filter(|pause| *pause > LATE) {
            self.liveness.excuse_pause(now, pause);
            self.sinks.timers.set(Timer::FailureDetection, Some(now));
        }
    }

    fn review_peers(&mut self, now: Instant) {
        for node in self.liveness.peers().watched() {
            self.review_peer(now, &node);
        }
        let turn = turn!(self, now);
        self.liveness.send_failure_notices(turn);
        self.liveness.arm_failure_detection(turn);
    }

    fn review_peer(&mut self, now: Instant, node: &NodeName) {
        let review = self.liveness.review(turn!(self, now), node);
        let Some(snapshot) = self
            .context
            .snapshot
            .as_ref()
            .filter(|_| review == Review::WarnDeputies)
        else {
            return;
        };
        let deputies = self.ownership.deputies_of(view!(self, now), snapshot, node);
        for deputy in deputies {
            self.sinks.outbox.send(&deputy, Message::Suspect(node.clone()));
        }
    }

    /// Broadcasts that this node is alive, unless it did so a moment ago.
    fn refute(&mut self, now: Instant) {
        if !self.liveness.begin_refutation(turn!(self, now)) {
            return;
        }
        self.broadcast_hello();
        if !self.context.listening {
            for message in own_claims(&self.context, full_state!(self)) {
                self.sinks.outbox.broadcast(&message);
            }
        }
    }

    /// Sends the questions that are due on the wire.
    fn ask_on_wire(&mut self, now: Instant) {
        let claims = self.ownership.claims();
        // The owner of a tentative address is as silent about it as a dead one.
        let owned_by = |node: &NodeName| {
            let claims = claims.of(node).into_iter().filter(|claim| !claim.tentative);
            claims.map(|claim| claim.address).collect()
        };
        let around = surroundings!(self);
        self.liveness.send_check_questions(turn!(self, now), around, &owned_by);
        if self.sinks.timers.is_due(Timer::WireBaseline, now) {
            Liveness::arm_baseline(turn!(self, now));
            self.run_preflight(now);
            self.liveness
                .send_baseline_questions(turn!(self, now), surroundings!(self));
        }
    }

    fn run_preflight(&mut self, now: Instant) {
        let expected = interfaces_with_peers(view!(self, now));
        let neighbours = self.lan.neighbours_mut();
        neighbours.expect_broadcasts(now, &expected);
        let deaf = neighbours.deaf_interfaces(now, DEAF_AFTER);
        self.node.run_preflight(turn!(self, now), &deaf);
    }

    fn broadcast_hello(&mut self) {
        if self.node.is_known() {
            self.sinks.outbox.broadcast(&Message::Hello(self.node.networks()));
        }
    }
}

/// The interfaces on which available peers send ARP broadcasts.
fn interfaces_with_peers(view: &View<'_>) -> std::collections::BTreeSet<InterfaceIndex> {
    let peers = view.peers().nodes();
    let available = peers.filter(|node| view.peers().is_available(node, view.now));
    available
        .flat_map(|node| view.facing_on_lan(node))
        .filter(|(_, network)| network.addresses.iter().any(|address| address.addr().is_ipv4()))
        .map(|(port, _)| port.index)
        .collect()
}

#[cfg(test)]
mod tests;
