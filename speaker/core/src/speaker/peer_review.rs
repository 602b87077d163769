//! Reviews peers and the node itself, and sends requests to peers on the LAN.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::Speaker;
use crate::{
    borrow::{full_state, surroundings, turn, view},
    liveness::{Liveness, Review, View},
    sync::own_claims_messages,
    timers::Timer,
    types::{InterfaceIndex, NodeName},
    wire::message::Message,
};

/// A timeout handled later than this was delayed from outside: the process, or the node, did not
/// run.
const LATE_AFTER: Duration = Duration::from_millis(30);

/// How long an interface may hear no broadcast while peers send one every ten seconds there.
const DEAF_AFTER: Duration = Duration::from_secs(60);

impl Speaker {
    /// A timeout that comes late was delayed, and so was the reading of messages: no peer is dead
    /// for that.
    pub(super) fn excuse_pause(&mut self, now: Instant) {
        let pause = self.next_timeout().and_then(|due| now.checked_duration_since(due));
        if let Some(pause) = pause.filter(|pause| *pause > LATE_AFTER) {
            self.liveness.excuse_pause(now, pause);
            self.sinks.timers.set(Timer::FailureDetection, Some(now));
        }
    }

    pub(super) fn review_peers(&mut self, now: Instant) {
        for node in self.liveness.peers().watched() {
            self.review_peer(now, &node);
        }
        let turn = turn!(self, now);
        self.liveness.send_failure_notices(turn, surroundings!(self));
        self.liveness.arm_failure_detection(turn);
    }

    pub(super) fn review_peer(&mut self, now: Instant, node: &NodeName) {
        let around = surroundings!(self);
        let review = self.liveness.review(turn!(self, now), around, node);
        let Some(snapshot) = self
            .context
            .snapshot
            .as_ref()
            .filter(|_| review == Review::WarnDeputies)
        else {
            return;
        };
        let deputies = self.ownership.find_deputies(view!(self, now), snapshot, node);
        for deputy in deputies {
            self.sinks.outbox.send(&deputy, Message::Suspect(node.clone()));
        }
    }

    /// Broadcasts that this node is alive, unless it did so a moment ago.
    pub(super) fn refute(&mut self, now: Instant) {
        if !self.liveness.begin_refutation(turn!(self, now)) {
            return;
        }
        self.broadcast_hello();
        if !self.context.listening {
            for message in own_claims_messages(&self.context, full_state!(self)) {
                self.sinks.outbox.broadcast(&message);
            }
        }
    }

    /// Sends the requests that are due on the LAN.
    pub(super) fn send_reachability_requests(&mut self, now: Instant) {
        self.liveness.send_check_requests(turn!(self, now), surroundings!(self));
        // This node cannot announce on an isolated network. Its peers must learn that to take over.
        let isolated = view!(self, now).isolated_networks();
        if self.node.set_isolated(isolated) {
            self.ownership.invalidate_verdicts();
            self.tell_networks();
            turn!(self, now).request_review();
        }
        if self.sinks.timers.is_due(Timer::ReachabilityBaseline, now) {
            Liveness::arm_baseline(turn!(self, now));
            self.run_preflight(now);
            self.liveness
                .send_baseline_requests(turn!(self, now), surroundings!(self));
            let isolated = view!(self, now).isolated_interfaces();
            let hosts = self.lan.refresh_hosts(now, &isolated);
            Liveness::ask_hosts(turn!(self, now), surroundings!(self), &hosts);
            let contested = self.ownership.contested(now, &self.context.me);
            self.lan.probe_contested(turn!(self, now), &contested);
        }
    }

    pub(super) fn run_preflight(&mut self, now: Instant) {
        let view = view!(self, now);
        let expected = interfaces_with_peers(view);
        let hears_nobody = !self.context.listening && view.hears_nobody();
        self.lan.expect_broadcasts(now, &expected);
        let deaf = self.lan.neighbours().deaf_interfaces(now, DEAF_AFTER);
        self.node.run_preflight(turn!(self, now), &deaf, hears_nobody);
    }

    pub(super) fn broadcast_hello(&mut self) {
        if self.node.is_known() {
            self.sinks.outbox.broadcast(&Message::Hello(self.node.networks()));
        }
    }
}

/// The interfaces on which available peers send ARP broadcasts.
fn interfaces_with_peers(view: &View<'_>) -> BTreeSet<InterfaceIndex> {
    let peers = view.peers().nodes();
    let available = peers.filter(|node| view.peers().is_available(node, view.now));
    available.flat_map(|node| view.broadcast_interfaces(node)).collect()
}
