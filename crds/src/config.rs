//! All objects of a cluster turned into one validated model.
//!
//! [`Config::build`] is what the controller and every speaker use, so that they agree on what is in force. Nothing that is
//! wrong with one object reaches another: an object that can't be used is left out by itself, with a [`Refusal`] that says why.

mod advertisement;
mod pool;
mod refusal;

use std::collections::BTreeMap;

pub use advertisement::{Advertisement, Preference};
pub use pool::{Allocation, Pool};
pub use refusal::{ObjectKind, Refusal, RefusalReason};

use crate::{IPAddressPool, L2Advertisement};

/// The objects as the API server has them.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// All pools, in any order.
    pub pools: Vec<IPAddressPool>,
    /// All advertisements, in any order.
    pub l2_advertisements: Vec<L2Advertisement>,
    /// Objects that could not even be decoded.
    pub undecodable: Vec<Refusal>,
}

/// The configuration in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The pools that are in use, by name.
    pub pools: BTreeMap<String, Pool>,
    /// The advertisements that are in use, by name.
    pub l2_advertisements: BTreeMap<String, Advertisement>,
    /// What is not in use, and why.
    pub refused: Vec<Refusal>,
}

impl Config {
    /// Checks every object by itself and against the others. Of two pools that overlap the older one stays in force (of two of
    /// the same second the one whose name comes first), so that a new object never takes addresses from one that works.
    #[must_use]
    pub fn build(resources: &Resources) -> Self {
        let mut config = Self {
            refused: resources.undecodable.clone(),
            ..Self::default()
        };
        let mut pools: Vec<&IPAddressPool> = resources.pools.iter().collect();
        pools.sort_by_key(|pool| (pool.metadata.creation_timestamp.clone(), pool.metadata.name.clone()));
        for raw in pools {
            match Pool::build(raw).and_then(|pool| config.without_overlap(pool, raw)) {
                Ok(pool) => {
                    config.pools.insert(pool.name.clone(), pool);
                }
                Err(refusal) => config.refused.push(refusal),
            }
        }
        for raw in &resources.l2_advertisements {
            match Advertisement::build(raw) {
                Ok(advertisement) => {
                    config
                        .l2_advertisements
                        .insert(advertisement.name.clone(), advertisement);
                }
                Err(refusal) => config.refused.push(refusal),
            }
        }
        config.refused.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        config
    }

    /// The pool that holds `address`, if any.
    #[must_use]
    pub fn pool_of(&self, address: std::net::IpAddr) -> Option<&Pool> {
        self.pools.values().find(|pool| pool.contains(address))
    }

    fn without_overlap(&self, pool: Pool, raw: &IPAddressPool) -> Result<Pool, Refusal> {
        for (index, range) in pool.ranges.iter().enumerate() {
            let field = format!("spec.addresses[{index}]");
            let earlier = pool.ranges.iter().take(index).find(|earlier| earlier.overlaps(range));
            if let Some(earlier) = earlier {
                let message = format!("{range} overlaps with {earlier} of the same pool");
                return Err(Refusal::of_pool(raw, RefusalReason::Overlaps, &field, message));
            }
            for other in self.pools.values() {
                if let Some(theirs) = other.ranges.iter().find(|theirs| theirs.overlaps(range)) {
                    let message = format!(
                        "{range} overlaps with {theirs} of the older IPAddressPool {}",
                        other.name
                    );
                    return Err(Refusal::of_pool(raw, RefusalReason::Overlaps, &field, message));
                }
            }
        }
        Ok(pool)
    }
}

#[cfg(test)]
mod tests;
