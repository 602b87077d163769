//! Peers that this node hears on one path only, while their watchers on another path have failed
//! there.
//!
//! Above eight nodes a node watches a few peers, and learns of the others from their watchers. A
//! segment may be cut so that none of those is in this part, while all nodes hear each other on
//! another network. Then nobody in this part would notice that an owner is in the other one. So
//! such a peer counts as failed on the segment, and this node asks on the wire whether it is.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Liveness,
    peers::{Path, Phase},
    view::{Surroundings, View},
    watch_ring::WATCHERS,
};
use crate::{context::Turn, types::NodeName};

impl Liveness {
    /// Finds out on which paths the failure of a peer would go unreported.
    pub(crate) fn find_unwatched_on_paths(&mut self, turn: &mut Turn<'_>, around: Surroundings<'_>) {
        if self.ring.is_full_mesh() {
            return;
        }
        let now = turn.now;
        let view = self.view(now, turn.context, around);
        let mut unwatched: BTreeMap<NodeName, BTreeSet<Path>> = BTreeMap::new();
        for path in self.peers.watched_paths() {
            for node in unwatched_on(&view, path) {
                unwatched.entry(node).or_default().insert(path);
            }
        }
        let none = BTreeSet::new();
        let nodes: Vec<NodeName> = self.peers.nodes().cloned().collect();
        for node in nodes {
            let paths = unwatched.get(&node).unwrap_or(&none);
            if self.peers.set_unwatched_on(now, &node, paths) {
                turn.request_review();
            }
        }
    }
}

/// The peers whose failure on a path no node would report that this node hears there.
fn unwatched_on(view: &View<'_>, path: Path) -> Vec<NodeName> {
    let peers = view.peers();
    let own_phase = |node: &NodeName| peers.phase_on(node, view.now, path);
    let failed = peers
        .nodes()
        .filter(|node| own_phase(node).is_some_and(Phase::is_failed));
    // A gap in the ring has the failed watchers of a node side by side.
    // mutation: unwatched-on-a-path-not-noticed
    if failed.count() < WATCHERS {
        return Vec::new();
    }
    // Whom this node does not watch there, and whether others report it.
    let mut unknown: BTreeMap<&NodeName, bool> = BTreeMap::new();
    let mut known: BTreeSet<&NodeName> = BTreeSet::new();
    for node in peers.nodes() {
        match own_phase(node) {
            Some(phase) if phase.is_failed() => {}
            Some(_) => {
                known.insert(node);
            }
            None => {
                let mut networks = peers.networks_of(node).iter();
                if let Some(network) = networks.find(|network| view.path_to(node, network) == Some(path)) {
                    let reports = peers.failure_reports(node, view.now, Some((Some(path), &network.interface)));
                    unknown.insert(node, reports > 0);
                }
            }
        }
    }
    loop {
        // A node that is heard here would report those that it watches.
        let is_reported = |node: &NodeName, known: &BTreeSet<&NodeName>| {
            let watchers = view.liveness.ring.watchers(node, |_| false);
            watchers.iter().any(|watcher| known.contains(watcher))
        };
        let more: Vec<&NodeName> = unknown
            .iter()
            .filter(|(node, has_failed)| !**has_failed && !known.contains(**node) && is_reported(node, &known))
            .map(|(node, _)| *node)
            .collect();
        if more.is_empty() {
            break;
        }
        known.extend(more);
    }
    let unwatched = unknown.into_keys().filter(|node| !known.contains(node));
    unwatched.cloned().collect()
}
