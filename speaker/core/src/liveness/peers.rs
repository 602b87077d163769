//! One record for each other node: what its speaker says, and what this node concluded from it.
//!
//! ```text
//!            heartbeat late, port unreachable,            silent for longer than
//!            or a watcher warns                           loss explains, or reported
//!   Alive ──────────────────────────────► Suspect ──────────────────────────► Failed
//!     ▲                                      │                                   │
//!     └──────────── any message ─────────────┴───────────────────────────────────┘
//! ```

mod queries;
mod session;
mod updates;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use session::Session;
pub(crate) use session::{NetworkNames, Path, Phase};

use super::reachability::SegmentCheck;
use crate::types::{BootId, InterfaceIndex, NodeName};

/// Full-state messages that each node sends per second in a large cluster.
const RESYNCS_PER_SECOND: u32 = 7;

/// The period of anti-entropy in a small cluster.
const SHORTEST_CYCLE: Duration = Duration::from_secs(2);

/// The period in which a node sends its full state to every peer once, in a cluster of this size.
#[must_use]
pub(crate) fn anti_entropy_cycle(nodes: usize) -> Duration {
    let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
    SHORTEST_CYCLE.max(Duration::from_secs(1) * nodes / RESYNCS_PER_SECOND)
}

/// What a message says about its sender, before its content is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sighting {
    /// The message was seen before. Ignore it.
    Replayed,
    /// The sender used this higher boot id before: a replay, or its clock went backwards.
    Behind(BootId),
    /// The sender was alive already.
    Known,
    /// The sender had failed, as far as this node knew.
    Appeared,
    /// The sender has started: it has forgotten what it owned.
    Restarted,
}

/// Where a message came from, and its place in the sender's sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) address: IpAddr,
    pub(crate) path: Path,
    pub(crate) boot: BootId,
    pub(crate) sequence: u64,
}

/// A failure that this node broadcasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FailureNotice {
    /// Broadcasts left in quick succession.
    pub(crate) left: u32,
    pub(crate) due: Instant,
}

/// What this node has concluded of another one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conclusion {
    /// The phase when it was last reviewed.
    pub(in crate::liveness) phase: Option<Phase>,
    /// The phase on each path then.
    pub(in crate::liveness) paths: BTreeMap<Path, Phase>,
    /// The own interfaces on which its MAC has answered: only there silence means anything.
    pub(in crate::liveness) answered: BTreeSet<InterfaceIndex>,
    /// The reachability checks that run, by the own interface that faces the node. `None`: no
    /// interface does.
    pub(in crate::liveness) checks: BTreeMap<Option<InterfaceIndex>, SegmentCheck>,
    pub(in crate::liveness) notice: Option<FailureNotice>,
    /// Whether it was sent heartbeats as a watcher of this node.
    pub(in crate::liveness) watches_us: bool,
}

/// One other node.
#[derive(Clone, Debug, Default)]
struct PeerRecord {
    /// `None` until its speaker was heard.
    session: Option<Session>,
    conclusion: Conclusion,
}

/// All other nodes that were heard, or heard of. Every holder of the key is a peer, whether the
/// snapshot has its node or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    records: BTreeMap<NodeName, PeerRecord>,
    cycle: Duration,
}

impl Peers {
    pub(crate) fn session(&self, node: &NodeName) -> Option<&Session> {
        self.records.get(node)?.session.as_ref()
    }

    fn session_mut(&mut self, node: &NodeName) -> Option<&mut Session> {
        self.records.get_mut(node)?.session.as_mut()
    }

    fn sessions(&self) -> impl Iterator<Item = (&NodeName, &Session)> {
        let records = self.records.iter();
        records.filter_map(|(node, record)| Some((node, record.session.as_ref()?)))
    }

    fn sessions_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.records.values_mut().filter_map(|record| record.session.as_mut())
    }

    /// What this node has concluded of another one.
    pub(crate) fn conclusion(&self, node: &NodeName) -> Option<&Conclusion> {
        Some(&self.records.get(node)?.conclusion)
    }

    pub(crate) fn conclusion_mut(&mut self, node: &NodeName) -> &mut Conclusion {
        &mut self.records.entry(node.clone()).or_default().conclusion
    }

    pub(crate) fn conclusions(&self) -> impl Iterator<Item = (&NodeName, &Conclusion)> {
        let records = self.records.iter();
        records.map(|(node, record)| (node, &record.conclusion))
    }

    pub(crate) fn conclusions_mut(&mut self) -> impl Iterator<Item = (&NodeName, &mut Conclusion)> {
        let records = self.records.iter_mut();
        records.map(|(node, record)| (node, &mut record.conclusion))
    }

    /// The phase of a node when it was last reviewed.
    pub(crate) fn reviewed_phase(&self, node: &NodeName) -> Option<Phase> {
        self.conclusion(node)?.phase
    }

    /// Whether a node was alive on every path when it was last reviewed.
    pub(crate) fn was_alive(&self, node: &NodeName) -> bool {
        self.conclusion(node).is_some_and(|conclusion| {
            let is_alive = |phase: &Phase| *phase == Phase::Alive;
            conclusion.phase == Some(Phase::Alive) && conclusion.paths.values().all(is_alive)
        })
    }
}

#[cfg(test)]
mod tests;
