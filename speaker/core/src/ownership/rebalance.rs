//! Which addresses are provisional, and how far their spreading has come.
//!
//! `offers` says what that is for, and does it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{cluster_snapshot::ClusterSnapshot, liveness::View, types::NodeName};

/// How long after its start a speaker spreads what it took: a node can take minutes to pull the
/// image.
const WINDOW: Duration = Duration::from_secs(600);

/// How far the spreading of provisional addresses has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Rebalance {
    /// When this speaker first decided.
    started: Option<Instant>,
    /// The nodes of the cluster that are missing now.
    pub(super) missing: Arc<BTreeSet<NodeName>>,
    /// The peers that get nothing more.
    pub(super) settled: BTreeSet<NodeName>,
    /// Since when this node has had a surplus.
    pub(super) surplus_since: Option<Instant>,
    /// Since when each peer could have taken an address, while this node had no surplus.
    pub(super) ready_since: BTreeMap<NodeName, Instant>,
    /// The last offer.
    pub(super) last_offer: Option<(Instant, IpAddr)>,
    /// When this node last accepted an offer.
    pub(super) accepted: Option<Instant>,
}

impl Rebalance {
    /// Notes the missing nodes. They never said on which networks they are, or have just started
    /// and do not know yet what they own. A node that never gets a speaker is missing, too. That
    /// has no consequence.
    pub(super) fn note_missing(&mut self, view: &View<'_>, snapshot: &ClusterSnapshot) {
        let started = *self.started.get_or_insert(view.now);
        if view.now >= started + WINDOW {
            return;
        }
        let peers = view.peers();
        let is_missing = |node: &&NodeName| {
            let is_missing = !peers.has_sent_hello(node) || peers.awaiting_claims_since(node).is_some();
            **node != view.context.me && is_missing
        };
        let missing = snapshot.nodes.keys().filter(is_missing);
        if !missing.clone().eq(self.missing.iter()) {
            self.missing = Arc::new(missing.cloned().collect());
        }
    }

    /// The nodes that are missing, towards which a takeover at this time is provisional.
    pub(super) fn missing(&self, now: Instant) -> Arc<BTreeSet<NodeName>> {
        if self.is_over(now) {
            return Arc::default();
        }
        self.missing.clone()
    }

    /// Begins to count again: no address is provisional.
    pub(super) fn restart(&mut self) {
        self.surplus_since = None;
        self.ready_since.clear();
    }

    /// Notes the peers that could take an address while this node has no surplus. Settles those for
    /// which that has lasted for `time`. Returns when the next one is due.
    pub(super) fn note_ready(&mut self, now: Instant, ready: &BTreeSet<NodeName>, time: Duration) -> Option<Instant> {
        self.surplus_since = None;
        self.ready_since.retain(|node, _| ready.contains(node));
        for node in ready.difference(&self.settled) {
            self.ready_since.entry(node.clone()).or_insert(now);
        }
        let is_due = |_: &NodeName, since: &mut Instant| now >= *since + time;
        let settled = self.ready_since.extract_if(.., is_due).map(|(node, _)| node);
        self.settled.extend(settled);
        self.ready_since.values().min().map(|since| *since + time)
    }

    /// Whether all addresses stay where they are from now on.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.started.is_none_or(|started| now >= started + WINDOW)
    }
}
