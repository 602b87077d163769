//! Ranks the eligible nodes of an address: the first one should own it.
//!
//! The ranking is a rendezvous hash that is compatible with MetalLB, after preferences and a fair
//! share of addresses for each node.

use std::{collections::BTreeMap, net::IpAddr};

use sha2::{Digest, Sha256};

use crate::types::NodeName;

/// The number of addresses that each node owns, and the fair share of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    owned: BTreeMap<NodeName, usize>,
    /// Addresses that a node owns before others rank ahead of it.
    fair_share: usize,
}

impl Load {
    /// Starts with no owned addresses. The fair share is the number of `addresses` per eligible
    /// node, rounded up; `eligible` counts the nodes that can own any address.
    #[must_use]
    pub(crate) fn new(addresses: usize, eligible: usize) -> Self {
        Self {
            owned: BTreeMap::new(),
            fair_share: addresses.div_ceil(eligible.max(1)),
        }
    }

    /// A load in which no node ever reaches its share, so it does not influence the ranking.
    #[must_use]
    pub(crate) fn unlimited() -> Self {
        Self {
            owned: BTreeMap::new(),
            fair_share: usize::MAX,
        }
    }

    /// Counts one more address for `node`.
    pub(crate) fn add(&mut self, node: &NodeName) {
        *self.owned.entry(node.clone()).or_default() += 1;
    }

    /// Whether `node` has reached its fair share.
    pub(crate) fn is_full(&self, node: &NodeName) -> bool {
        self.owned.get(node).copied().unwrap_or_default() >= self.fair_share
    }

    /// Whether `node` owns more than its fair share.
    pub(crate) fn has_surplus(&self, node: &NodeName) -> bool {
        self.owned.get(node).copied().unwrap_or_default() > self.fair_share
    }
}

/// Ranks the eligible nodes for `address`, the best first.
///
/// The criteria, in order: the higher preference weight, then owning less than the fair share, then
/// the lower SHA-256 of `node#address`. The last criterion is the order of MetalLB.
#[must_use]
pub(crate) fn rank<'a>(
    address: IpAddr,
    eligible: impl IntoIterator<Item = (&'a NodeName, u32)>,
    load: &Load,
) -> Vec<&'a NodeName> {
    let mut ranked: Vec<_> = eligible
        .into_iter()
        .map(|(node, weight)| {
            (
                std::cmp::Reverse(weight),
                load.is_full(node),
                digest(node.as_str(), address),
                node,
            )
        })
        .collect();
    ranked.sort();
    ranked.into_iter().map(|(.., node)| node).collect()
}

/// The hash by which MetalLB orders the nodes of an address.
fn digest(node: &str, address: IpAddr) -> [u8; 32] {
    Sha256::digest(format!("{node}#{address}")).into()
}

/// Whether `node` ranks before `other` for `address`, given equal preference and load.
#[must_use]
pub(crate) fn ranks_before(address: IpAddr, node: &str, other: &str) -> bool {
    (digest(node, address), node) < (digest(other, address), other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<NodeName> {
        names.iter().map(|name| (*name).into()).collect()
    }

    fn ranked(address: &str, nodes: &[(&str, u32)], load: &Load) -> Vec<String> {
        let nodes: Vec<(NodeName, u32)> = nodes.iter().map(|(name, weight)| ((*name).into(), *weight)).collect();
        let eligible = nodes.iter().map(|(name, weight)| (name, *weight));
        rank(address.parse().unwrap(), eligible, load)
            .into_iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn hash_order_matches_metallb() {
        // Golden vectors of the compatibility reference, the best node first.
        for (address, order) in [
            ("10.0.0.1", vec!["node-b", "node-a", "node-c"]),
            ("10.0.0.2", vec!["node-b", "node-c", "node-a"]),
            ("10.20.30.1", vec!["edge-b", "worker-a", "edge-a", "worker-b"]),
            ("10.20.30.1", vec!["node-b", "node-a"]),
            ("10.20.30.1", vec!["iris2", "iris1"]),
            ("10.20.30.2", vec!["iris1", "iris2"]),
            ("fd00::1", vec!["node-c", "node-b", "node-a"]),
        ] {
            let mut nodes: Vec<(&str, u32)> = order.iter().map(|name| (*name, 0)).collect();
            nodes.sort();
            assert_eq!(ranked(address, &nodes, &Load::new(1, nodes.len())), order, "{address}");
            for pair in order.windows(2) {
                assert!(ranks_before(address.parse().unwrap(), pair[0], pair[1]));
            }
        }
    }

    #[test]
    fn preference_beats_fair_share_and_fair_share_beats_hash() {
        let mut load = Load::new(2, 2);
        assert_eq!(
            ranked("10.0.0.1", &[("node-a", 0), ("node-b", 0)], &load),
            ["node-b", "node-a"]
        );
        load.add(&"node-b".into());
        assert_eq!(
            ranked("10.0.0.1", &[("node-a", 0), ("node-b", 0)], &load),
            ["node-a", "node-b"]
        );
        assert_eq!(
            ranked("10.0.0.1", &[("node-a", 0), ("node-b", 50)], &load),
            ["node-b", "node-a"]
        );
        load.add(&"node-a".into());
        assert_eq!(
            ranked("10.0.0.1", &[("node-a", 0), ("node-b", 0)], &load),
            ["node-b", "node-a"]
        );
    }

    #[test]
    fn ranking_is_independent_of_the_order_of_nodes() {
        let nodes = names(&["a", "b", "c", "d", "e"]);
        let load = Load::new(1, 5);
        let address = "192.0.2.7".parse().unwrap();
        let forward = rank(address, nodes.iter().map(|node| (node, 0)), &load);
        let backward = rank(address, nodes.iter().rev().map(|node| (node, 0)), &load);
        assert_eq!(forward, backward);
    }
}
