//! In which order the nodes that may own an address come.

use std::{collections::BTreeMap, net::IpAddr};

use sha2::{Digest, Sha256};

use crate::wire::message::NodeName;

/// How many addresses each node owns, and what its fair share is.
#[derive(Clone, Debug, Default)]
pub struct Load {
    owned: BTreeMap<NodeName, usize>,
    fair: usize,
}

impl Load {
    /// `addresses` are all that are to be owned, `candidates` the nodes that can own any.
    #[must_use]
    pub fn new(addresses: usize, candidates: usize) -> Self {
        Self {
            owned: BTreeMap::new(),
            fair: addresses.div_ceil(candidates.max(1)),
        }
    }

    /// Nobody ever has more than its share.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            owned: BTreeMap::new(),
            fair: usize::MAX,
        }
    }

    /// Counts an address for `node`.
    pub fn count(&mut self, node: &NodeName) {
        *self.owned.entry(node.clone()).or_default() += 1;
    }

    fn is_full(&self, node: &NodeName) -> bool {
        self.owned.get(node).copied().unwrap_or_default() >= self.fair
    }
}

/// The candidates, the one that should own `address` first: by the weight of preferences, then those that own less than their fair
/// share, then by SHA-256 of `node#address`, which is the order of MetalLB.
#[must_use]
pub fn order<'a>(
    address: IpAddr,
    candidates: impl IntoIterator<Item = (&'a NodeName, u32)>,
    load: &Load,
) -> Vec<&'a NodeName> {
    let mut ranked: Vec<_> = candidates
        .into_iter()
        .map(|(node, weight)| {
            (
                std::cmp::Reverse(weight),
                load.is_full(node),
                digest(node, address),
                node,
            )
        })
        .collect();
    ranked.sort();
    ranked.into_iter().map(|(.., node)| node).collect()
}

fn digest(node: &str, address: IpAddr) -> [u8; 32] {
    Sha256::digest(format!("{node}#{address}")).into()
}

/// Which of two nodes comes first for `address`, other things being equal.
#[must_use]
pub fn comes_first(address: IpAddr, node: &str, other: &str) -> bool {
    (digest(node, address), node) < (digest(other, address), other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<NodeName> {
        names.iter().map(|name| (*name).into()).collect()
    }

    fn order_of(address: &str, nodes: &[(&str, u32)], load: &Load) -> Vec<String> {
        let nodes: Vec<(NodeName, u32)> = nodes.iter().map(|(name, weight)| ((*name).into(), *weight)).collect();
        let candidates = nodes.iter().map(|(name, weight)| (name, *weight));
        order(address.parse().unwrap(), candidates, load)
            .into_iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_order_of_the_hash_is_that_of_metallb() {
        // The golden vectors of the compatibility reference, the winner first.
        for (address, winners) in [
            ("10.0.0.1", vec!["node-b", "node-a", "node-c"]),
            ("10.0.0.2", vec!["node-b", "node-c", "node-a"]),
            ("10.20.30.1", vec!["edge-b", "worker-a", "edge-a", "worker-b"]),
            ("10.20.30.1", vec!["node-b", "node-a"]),
            ("10.20.30.1", vec!["iris2", "iris1"]),
            ("10.20.30.2", vec!["iris1", "iris2"]),
            ("fd00::1", vec!["node-c", "node-b", "node-a"]),
        ] {
            let mut nodes: Vec<(&str, u32)> = winners.iter().map(|name| (*name, 0)).collect();
            nodes.sort();
            assert_eq!(
                order_of(address, &nodes, &Load::new(1, nodes.len())),
                winners,
                "{address}"
            );
            for pair in winners.windows(2) {
                assert!(comes_first(address.parse().unwrap(), pair[0], pair[1]));
            }
        }
    }

    #[test]
    fn a_preference_beats_a_fair_share_and_that_beats_the_hash() {
        let mut load = Load::new(2, 2);
        assert_eq!(
            order_of("10.0.0.1", &[("node-a", 0), ("node-b", 0)], &load),
            ["node-b", "node-a"]
        );
        load.count(&"node-b".into());
        assert_eq!(
            order_of("10.0.0.1", &[("node-a", 0), ("node-b", 0)], &load),
            ["node-a", "node-b"]
        );
        assert_eq!(
            order_of("10.0.0.1", &[("node-a", 0), ("node-b", 50)], &load),
            ["node-b", "node-a"]
        );
        load.count(&"node-a".into());
        assert_eq!(
            order_of("10.0.0.1", &[("node-a", 0), ("node-b", 0)], &load),
            ["node-b", "node-a"]
        );
    }

    #[test]
    fn the_order_does_not_depend_on_the_order_of_the_candidates() {
        let nodes = names(&["a", "b", "c", "d", "e"]);
        let load = Load::new(1, 5);
        let address = "192.0.2.7".parse().unwrap();
        let forward = order(address, nodes.iter().map(|node| (node, 0)), &load);
        let backward = order(address, nodes.iter().rev().map(|node| (node, 0)), &load);
        assert_eq!(forward, backward);
    }
}
