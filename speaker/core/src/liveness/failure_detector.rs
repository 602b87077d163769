//! The failure detector: heartbeats to the watchers of this node, and reviews of the peers that
//! this node watches.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    Liveness,
    adaptive_timeout::HEARTBEAT_INTERVAL,
    peers::{FailureNotice, Path, Phase},
    view::Surroundings,
};
use crate::{context::Turn, event::Event, stats::increment, timers::Timer, types::NodeName, wire::message::Message};

/// How many times a failure is broadcast at first, and the interval: a message may be lost.
const NOTICES: u32 = 3;
const NOTICE_INTERVAL: Duration = Duration::from_millis(100);
/// The time between later broadcasts, about a peer that is silent on some of its networks only.
const NETWORK_NOTICE_INTERVAL: Duration = Duration::from_secs(1);

/// The minimum time between two refutations. One millisecond for each node is added.
const REFUTATION_INTERVAL: Duration = Duration::from_millis(100);

/// How many times an `Unwatch` is sent: if all are lost, the former watcher declares this node
/// failed, and this node refutes.
const UNWATCH_COPIES: usize = 3;

/// What follows from the review of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Review {
    /// Nothing for others to do.
    Done,
    /// The deputies of the peer's addresses do not watch it: warn them.
    WarnDeputies,
}

/// The phases of a peer in one review.
#[derive(Debug, PartialEq)]
struct Reviewed {
    /// On all paths together.
    phase: Phase,
    /// On each path.
    paths: BTreeMap<Path, Phase>,
}

impl Reviewed {
    /// The phase on the worst path.
    fn worst(&self) -> Phase {
        self.paths.values().copied().reduce(Phase::worst).unwrap_or(self.phase)
    }

    /// Whether the peer has failed on a path, or everywhere, where it had not `before`.
    fn has_failed_since(&self, before: &Self) -> bool {
        let had_failed = |path: &Path| before.paths.get(path).is_some_and(|phase| phase.is_failed());
        let mut failed = self.paths.iter().filter(|(_, phase)| phase.is_failed());
        failed.any(|(path, _)| !had_failed(path)) || (self.phase.is_failed() && !before.phase.is_failed())
    }
}

impl Liveness {
    /// Sends a heartbeat to every watcher of this node, or the shutdown notice to everybody.
    pub(crate) fn send_heartbeats(&mut self, turn: &mut Turn<'_>) {
        if let Some(shutdown) = turn.context.shutdown {
            let handover = shutdown.handover;
            return turn.outbox.broadcast(&Message::Leaving { handover });
        }
        let me = &turn.context.me;
        let failed = |node: &NodeName| self.peers.reviewed_phase(node).is_some_and(Phase::is_failed);
        let watchers: BTreeSet<NodeName> = self.ring.watchers(me, failed).into_iter().cloned().collect();
        for (node, conclusion) in self.peers.conclusions_mut() {
            if conclusion.watches_us && !watchers.contains(node) {
                conclusion.watches_us = false;
                for _ in 0..UNWATCH_COPIES {
                    turn.outbox.send(node, Message::Unwatch);
                }
            }
        }
        for node in &watchers {
            self.peers.conclusion_mut(node).watches_us = true;
            turn.outbox.send_heartbeat(node);
        }
        // If this node or a peer is cut off on one path, messages between them need another path.
        let (peers, now) = (&self.peers, turn.now);
        let is_isolated = !self.isolation.is_empty();
        turn.outbox
            .set_cut_off(|node| is_isolated || peers.has_failed_somewhere(node, now));
        // Messages since the last review may have changed the phase of a peer.
        turn.timers
            .set_unless_armed(Timer::FailureDetection, turn.now + HEARTBEAT_INTERVAL);
    }

    /// Broadcasts the failures that are due again.
    pub(crate) fn send_failure_notices(&mut self, turn: &mut Turn<'_>, around: Surroundings<'_>) {
        let due = |notice: &FailureNotice| notice.due <= turn.now;
        let nodes: Vec<NodeName> = self
            .peers
            .conclusions()
            .filter(|(_, conclusion)| conclusion.notice.as_ref().is_some_and(due))
            .map(|(node, _)| node.clone())
            .collect();
        for node in nodes {
            self.broadcast_failure(turn, around, &node);
        }
    }

    /// Arms the timer for the next peer that becomes suspect or failed, and the next failure
    /// notice.
    pub(crate) fn arm_failure_detection(&self, turn: &mut Turn<'_>) {
        let notices = self.peers.conclusions().filter_map(|(_, conclusion)| conclusion.notice);
        let next_notice = notices.map(|notice| notice.due).min();
        let next = [self.peers.next_change(turn.now), next_notice];
        turn.timers
            .set(Timer::FailureDetection, next.into_iter().flatten().min());
    }

    /// Reviews one peer, and acts on what has changed since the last review.
    pub(crate) fn review(&mut self, turn: &mut Turn<'_>, around: Surroundings<'_>, node: &NodeName) -> Review {
        let now = turn.now;
        let phase = self.peers.phase(node, now).unwrap_or(Phase::Alive);
        let paths = self.peers.path_phases(node, now);
        let conclusion = self.peers.conclusion_mut(node);
        let before = Reviewed {
            phase: conclusion.phase.replace(phase).unwrap_or(Phase::Alive),
            paths: std::mem::replace(&mut conclusion.paths, paths.clone()),
        };
        let after = Reviewed { phase, paths };
        if before == after {
            return Review::Done;
        }
        turn.request_review();
        if before.phase.is_failed() != phase.is_failed() {
            self.find_unwatched(turn);
        }
        if before.has_failed_since(&after) || after.has_failed_since(&before) {
            self.find_unwatched_on_paths(turn, around);
        }
        self.report_changes(turn, around, node, (&before, &after));
        let is_suspect = after.worst() == Phase::Suspect && before.worst() != Phase::Suspect;
        if is_suspect {
            self.note_suspect(turn, node)
        } else {
            Review::Done
        }
    }

    fn report_changes(
        &mut self,
        turn: &mut Turn<'_>,
        around: Surroundings<'_>,
        node: &NodeName,
        (before, after): (&Reviewed, &Reviewed),
    ) {
        let watched = self.peers.watches(node);
        if after.has_failed_since(before) {
            self.begin_isolation(turn, around);
            // The peer may be isolated itself, so that all others seem to have failed to it.
            self.peers.drop_reports_of(node);
            if watched {
                increment(&mut turn.stats.failures);
                self.peers.conclusion_mut(node).notice = Some(FailureNotice {
                    left: NOTICES,
                    due: turn.now,
                });
                self.broadcast_failure(turn, around, node);
            }
        }
        if before.has_failed_since(after) && watched {
            turn.outbox.broadcast(&Message::Recovered(node.clone()));
        }
        let failed = after.worst().is_failed();
        if !failed {
            self.peers.conclusion_mut(node).notice = None;
        }
        if failed != before.worst().is_failed() {
            let node = node.clone();
            turn.outbox.push_event(Event::PeerPhaseChanged { node, failed });
        }
    }

    fn note_suspect(&self, turn: &mut Turn<'_>, node: &NodeName) -> Review {
        let watched = self.peers.watches(node);
        if watched {
            increment(&mut turn.stats.suspects);
        }
        // In a full mesh every deputy sees the same. But a node that hears "port unreachable" knows
        // before the others.
        if self.peers.is_port_unreachable(node) || (watched && !self.ring.is_full_mesh()) {
            Review::WarnDeputies
        } else {
            Review::Done
        }
    }

    fn broadcast_failure(&mut self, turn: &mut Turn<'_>, around: Surroundings<'_>, node: &NodeName) {
        let is_heard = self.peers.is_heard(node, turn.now);
        let networks = self.view(turn.now, turn.context, around).failed_networks_of(node);
        let conclusion = self.peers.conclusion_mut(node);
        let Some(notice) = &mut conclusion.notice else { return };
        notice.left = notice.left.saturating_sub(1);
        // Others hear a peer that is silent on some networks only, and would take it for alive. So
        // this node repeats the notice for as long as it lasts.
        let is_last = notice.left == 0;
        notice.due = turn.now
            + if is_last {
                NETWORK_NOTICE_INTERVAL
            } else {
                NOTICE_INTERVAL
            };
        if is_last && !is_heard {
            conclusion.notice = None;
        }
        let node = node.clone();
        if !is_heard {
            turn.outbox.broadcast(&Message::Failed { node, lan_only: false });
        } else if !networks.is_empty() {
            turn.outbox.broadcast(&Message::FailedOn { node, networks });
        }
    }

    /// Finds nodes whose failure would go unreported because their watchers have failed too, as in
    /// a partition.
    fn find_unwatched(&mut self, turn: &mut Turn<'_>) {
        if self.ring.is_full_mesh() {
            return;
        }
        let now = turn.now;
        let others: BTreeSet<NodeName> = self.peers.nodes().cloned().collect();
        let known = self.nodes_with_alive_watchers(&turn.context.me, now, &others);
        for node in others
            .into_iter()
            .filter(|node| !self.peers.watches(node))
            .collect::<Vec<_>>()
        {
            self.peers.set_unwatched(now, &node, !known.contains(&node));
            let phase = self.peers.phase(&node, now).unwrap_or(Phase::Alive);
            if self.peers.conclusion_mut(&node).phase.replace(phase) != Some(phase) {
                turn.request_review();
            }
        }
    }

    /// The nodes whose failure this node would learn: those that it watches and hears, and in turn
    /// those that such a node watches.
    fn nodes_with_alive_watchers(
        &self,
        me: &NodeName,
        now: Instant,
        others: &BTreeSet<NodeName>,
    ) -> BTreeSet<NodeName> {
        let heard = |node: &&NodeName| self.peers.watches(node) && self.peers.is_heard(node, now);
        let mut known: BTreeSet<NodeName> = others.iter().filter(heard).cloned().chain([me.clone()]).collect();
        loop {
            let is_new = |node: &&NodeName| {
                // If this node does not watch a peer although the ring says so, it cannot report
                // it.
                let watchers = self.ring.watchers(node, |_| false).into_iter();
                let mut watchers = watchers.filter(|watcher| *watcher != me);
                !known.contains(*node)
                    && !self.peers.watches(node)
                    && self.peers.failure_reports(node, now, None) == 0
                    && watchers.any(|watcher| known.contains(watcher))
            };
            let more: Vec<NodeName> = others.iter().filter(is_new).cloned().collect();
            if more.is_empty() {
                return known;
            }
            known.extend(more);
        }
    }

    /// A peer declared this node failed. Returns whether to broadcast a refutation now: one answers
    /// all peers that did so, and the rate is limited.
    pub(crate) fn begin_refutation(&mut self, turn: &mut Turn<'_>) -> bool {
        let others = u32::try_from(self.ring.len()).unwrap_or(u32::MAX);
        let interval = REFUTATION_INTERVAL + Duration::from_millis(1) * others;
        if let Some(due) = self
            .last_refutation
            .map(|last| last + interval)
            .filter(|due| turn.now < *due)
        {
            turn.timers.set_unless_armed(Timer::Refutation, due);
            return false;
        }
        self.last_refutation = Some(turn.now);
        turn.timers.set(Timer::Refutation, None);
        true
    }
}
