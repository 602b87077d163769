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
mod ownership_review;
mod peer_conflicts;
mod peer_review;
mod queries;

use std::time::Instant;

pub use debug_state::{AddressDebugState, ClaimDebugState, DebugState, SuspectState, TakenDebugState};
pub use queries::PeerStatus;

use crate::{
    borrow::{full_state, turn},
    context::{Context, Sinks},
    lan::Lan,
    liveness::{Liveness, adaptive_timeout::HEARTBEAT_INTERVAL},
    node::NodeState,
    output::Output,
    ownership::Ownership,
    settings::Settings,
    sync::StateSync,
    timers::Timer,
    types::NodeName,
};

/// The speaker of one node: decides what to send, what to announce, and what this node owns.
///
/// The driver calls the `handle_*` methods with what it receives, [`Self::handle_timeout`] no later
/// than [`Self::next_timeout`], and after each call takes everything from [`Self::poll_output`].
/// Calls that come early, late or for nothing do no harm.
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

impl Speaker {
    /// The speaker of node `me`, which knows nothing yet.
    #[must_use]
    pub fn new(now: Instant, me: NodeName, settings: Settings) -> Self {
        let mut sinks = Sinks::default();
        for timer in [Timer::Heartbeat, Timer::AntiEntropy, Timer::ReachabilityBaseline] {
            sinks.timers.set(timer, Some(now));
        }
        Self {
            context: Context {
                me,
                settings,
                snapshot: None,
                deleted: std::collections::BTreeMap::new(),
                listening: true,
                shutdown: None,
            },
            node: NodeState::default(),
            lan: Lan::new(&settings),
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
            let next = now + HEARTBEAT_INTERVAL;
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
        self.send_reachability_requests(now);
        self.probe_rivals_if_due(now);
        self.lan.send_due_announcements(turn!(self, now));
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
}

#[cfg(test)]
mod tests;
