//! Decides which nodes watch which.
//!
//! All nodes form a ring, and the next few nodes on it watch each node. So the cost for a node does
//! not depend on the size of the cluster. A small cluster is a full mesh instead.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::types::NodeName;

/// Number of watchers of each node in a large cluster.
pub(crate) const WATCHERS: usize = 4;

/// Largest number of nodes that form a full mesh. At this size a node sends seven heartbeats in
/// each interval and receives as many. With four watchers it is four.
pub(crate) const FULL_MESH_LIMIT: usize = 8;

/// All nodes, ordered by the hash of their names. Neighbours on the ring therefore have nothing in
/// common, such as a rack.
#[derive(Clone, Debug, Default)]
pub(crate) struct WatchRing {
    nodes: Vec<NodeName>,
    places: BTreeMap<NodeName, usize>,
}

impl WatchRing {
    /// Builds the ring of these nodes; duplicates count once.
    pub(crate) fn new<'a>(nodes: impl IntoIterator<Item = &'a NodeName>) -> Self {
        let place = |node: &NodeName| {
            let digest: [u8; 32] = Sha256::digest(node.as_str()).into();
            let [a, b, c, d, e, f, g, h, ..] = digest;
            ([a, b, c, d, e, f, g, h], node.clone())
        };
        let mut places: Vec<_> = nodes.into_iter().map(place).collect();
        places.sort();
        places.dedup();
        let nodes: Vec<NodeName> = places.into_iter().map(|(_, node)| node).collect();
        let places = nodes.iter().cloned().zip(0..).collect();
        Self { nodes, places }
    }

    /// The number of nodes.
    #[must_use]
    pub(crate) const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the cluster is so small that every node watches every other node.
    #[must_use]
    pub(crate) const fn is_full_mesh(&self) -> bool {
        self.len() <= FULL_MESH_LIMIT
    }

    /// Returns the watchers of `node`; none if it is not on the ring.
    ///
    /// These are the next nodes on the ring until [`WATCHERS`] of them are alive. Up to
    /// [`WATCHERS`] failed nodes that are passed on the way are included. In a full mesh all other
    /// nodes watch.
    #[must_use]
    pub(crate) fn watchers(&self, node: &NodeName, failed: impl Fn(&NodeName) -> bool) -> Vec<&NodeName> {
        let Some(place) = self.places.get(node) else {
            return Vec::new();
        };
        let (before, from_node) = self.nodes.split_at(*place);
        let mut watchers = Vec::new();
        let (mut alive_count, mut failed_count) = (0, 0);
        for other in from_node.iter().skip(1).chain(before) {
            if failed(other) {
                // Failed watchers get heartbeats too, so the end of a partition is noticed at once.
                if failed_count < WATCHERS || self.is_full_mesh() {
                    failed_count += 1;
                    watchers.push(other);
                }
            } else {
                alive_count += 1;
                watchers.push(other);
            }
            if alive_count == WATCHERS && !self.is_full_mesh() {
                break;
            }
        }
        watchers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<NodeName> {
        (0..count).map(|index| format!("node-{index}").into()).collect()
    }

    #[test]
    fn small_cluster_is_a_full_mesh_and_large_one_has_four_watchers() {
        for (count, expected) in [(1, 0), (2, 1), (5, 4), (8, 7), (9, 4), (1000, 4)] {
            let names = names(count);
            let ring = WatchRing::new(&names);
            let mut watched = vec![0; count];
            for name in &names {
                let watchers = ring.watchers(name, |_| false);
                assert!(!watchers.contains(&name));
                assert_eq!(watchers.len(), expected);
                for watcher in watchers {
                    watched[names.iter().position(|name| name == watcher).unwrap()] += 1;
                }
            }
            assert!(
                watched.iter().all(|times| *times == expected),
                "{count}: every node watches equally many"
            );
        }
    }

    #[test]
    fn failed_watchers_are_replaced_but_still_included() {
        let names = names(20);
        let ring = WatchRing::new(&names);
        let usual = ring.watchers(&names[0], |_| false);
        let failed = usual[1].clone();
        let now = ring.watchers(&names[0], |node| *node == failed);
        assert_eq!(now.len(), 5);
        assert_eq!(now[..4], usual[..]);
    }
}
