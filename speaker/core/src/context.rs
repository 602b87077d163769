//! What every part of the speaker may read, and what every part may write to.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use crate::{
    cluster_snapshot::{ClusterSnapshot, Node},
    output::Outbox,
    settings::Settings,
    stats::Stats,
    timers::{Timer, TimerTable},
    types::NodeName,
};

/// What every part may read. Only [`Speaker`](crate::Speaker) changes it.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The node of this speaker.
    pub(crate) me: NodeName,
    pub(crate) settings: Settings,
    /// The cluster, once the API server has reported it.
    pub(crate) snapshot: Option<Arc<ClusterSnapshot>>,
    /// The nodes of earlier snapshots that the present one lacks, as long as their speakers are
    /// heard.
    pub(crate) deleted: BTreeMap<NodeName, DeletedNode>,
    /// Whether this speaker still listens, to learn what is owned before it claims anything.
    pub(crate) listening: bool,
    /// Set once the process is about to end.
    pub(crate) shutdown: Option<Shutdown>,
}

/// A node whose Node object was deleted.
#[derive(Clone, Debug)]
pub(crate) struct DeletedNode {
    /// When this speaker learned it.
    pub(crate) since: Instant,
    /// What the node was.
    pub(crate) node: Node,
}

impl Context {
    /// Whether the cluster has no other node.
    pub(crate) fn is_alone(&self) -> bool {
        let nodes = self.snapshot.iter().flat_map(|snapshot| snapshot.nodes.keys());
        nodes.filter(|node| **node != self.me).count() == 0
    }

    /// Replaces the snapshot.
    pub(crate) fn set_snapshot(&mut self, now: Instant, snapshot: Arc<ClusterSnapshot>) {
        let before = self.snapshot.replace(snapshot.clone());
        let nodes = before.iter().flat_map(|before| &before.nodes);
        for (name, node) in nodes.filter(|(name, _)| !snapshot.nodes.contains_key(*name)) {
            let node = node.clone();
            self.deleted.insert(name.clone(), DeletedNode { since: now, node });
        }
        self.deleted.retain(|name, _| !snapshot.nodes.contains_key(name));
    }
}

/// How this speaker shuts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shutdown {
    /// True if others take the addresses over. If false, deputies answer until this speaker is
    /// back.
    pub(crate) handover: bool,
}

/// What every part may write to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sinks {
    pub(crate) timers: TimerTable,
    pub(crate) outbox: Outbox,
    pub(crate) stats: Stats,
}

/// One call into the speaker, as its parts see it.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Instant,
    pub(crate) context: &'a Context,
    pub(crate) timers: &'a mut TimerTable,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) stats: &'a mut Stats,
}

impl<'a> Turn<'a> {
    pub(crate) const fn new(now: Instant, context: &'a Context, sinks: &'a mut Sinks) -> Self {
        Self {
            now,
            context,
            timers: &mut sinks.timers,
            outbox: &mut sinks.outbox,
            stats: &mut sinks.stats,
        }
    }

    /// Asks for a review of ownership in the next timeout, because something changed.
    pub(crate) fn request_review(&mut self) {
        self.timers.set_unless_armed(Timer::OwnershipReview, self.now);
    }
}
