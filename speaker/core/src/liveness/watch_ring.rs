//! Who watches whom: each node is watched by the next few on a ring of all, so that it costs every node the same, however many there are.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::wire::message::NodeName;

/// By how many others a node is watched in a large cluster.
pub const WATCHERS: usize = 4;

/// In a cluster of so many nodes everybody watches everybody: it costs no more than four do with an answer each.
pub const SMALL: usize = 8;

/// All nodes in the order of the hashes of their names: neighbours on it have nothing in common, such as a rack.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    nodes: Vec<NodeName>,
    places: BTreeMap<NodeName, usize>,
}

impl Ring {
    /// The ring of these nodes.
    pub fn new<'a>(nodes: impl IntoIterator<Item = &'a NodeName>) -> Self {
        let place = |node: &NodeName| {
            let digest: [u8; 32] = Sha256::digest(node.as_bytes()).into();
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

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether everybody watches everybody.
    #[must_use]
    pub const fn is_small(&self) -> bool {
        self.len() <= SMALL
    }

    /// Those who watch `node`: the next four after it, and as many more as of those are silent.
    #[must_use]
    pub fn watchers(&self, node: &NodeName, silent: impl Fn(&NodeName) -> bool) -> Vec<&NodeName> {
        let Some(place) = self.places.get(node) else {
            return Vec::new();
        };
        let (before, after) = self.nodes.split_at(*place);
        let mut watchers = Vec::new();
        let (mut heard, mut unheard) = (0, 0);
        for other in after.iter().skip(1).chain(before) {
            if silent(other) {
                // It is told all the same: so the end of a partition is noticed at once.
                if unheard < WATCHERS || self.is_small() {
                    unheard += 1;
                    watchers.push(other);
                }
            } else {
                heard += 1;
                watchers.push(other);
            }
            if heard == WATCHERS && !self.is_small() {
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
    fn everybody_watches_everybody_in_a_small_cluster_and_four_do_in_a_large_one() {
        for (count, expected) in [(1, 0), (2, 1), (5, 4), (8, 7), (9, 4), (1000, 4)] {
            let names = names(count);
            let ring = Ring::new(&names);
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
                "{count}: everybody watches as many"
            );
        }
    }

    #[test]
    fn those_who_are_silent_are_replaced_and_told_all_the_same() {
        let names = names(20);
        let ring = Ring::new(&names);
        let usual = ring.watchers(&names[0], |_| false);
        let silent = usual[1].clone();
        let now = ring.watchers(&names[0], |node| *node == silent);
        assert_eq!(now.len(), 5);
        assert_eq!(now[..4], usual[..]);
    }
}
