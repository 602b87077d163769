//! All configuration objects of a cluster as one validated model.
//!
//! The controller, its webhook and all speakers use [`Config::build`], so that they agree on the
//! configuration in use. One invalid object does not affect the others: it is left out, and a
//! [`Refusal`] gives the reason.

mod advertisement;
mod pool;
mod refusal;

use std::collections::BTreeMap;

pub use advertisement::Advertisement;
pub use pool::{Allocation, Pool};
pub use refusal::{ObjectKind, Refusal, RefusalReason};

use crate::{IPAddressPool, L2Advertisement};

/// The configuration objects at the API server.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// All pools, in any order.
    pub pools: Vec<IPAddressPool>,
    /// All advertisements, in any order.
    pub l2_advertisements: Vec<L2Advertisement>,
    /// Refusals of objects that cannot be decoded.
    pub undecodable: Vec<Refusal>,
}

/// The configuration in use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The pools in use, by name.
    pub pools: BTreeMap<String, Pool>,
    /// The advertisements in use, by name.
    pub l2_advertisements: BTreeMap<String, Advertisement>,
    /// The objects that are not in use, and why. They are sorted by kind and name.
    pub refused: Vec<Refusal>,
}

impl Config {
    /// Validates every object by itself and against the others.
    ///
    /// Of two pools that overlap, the older one stays in use: a new pool must not take addresses
    /// from a working one. If both were created in the same second, the first by name stays.
    #[must_use]
    pub fn build(resources: &Resources) -> Self {
        let mut config = Self {
            refused: resources.undecodable.clone(),
            ..Self::default()
        };
        let mut pools: Vec<&IPAddressPool> = resources.pools.iter().collect();
        pools.sort_by_key(|pool| (pool.metadata.creation_timestamp.clone(), pool.metadata.name.clone()));
        for raw in pools {
            match Pool::build(raw).and_then(|pool| config.check_overlap(pool, raw)) {
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

    /// Returns the pool that contains `address`.
    #[must_use]
    pub fn pool_of(&self, address: std::net::IpAddr) -> Option<&Pool> {
        self.pools.values().find(|pool| pool.contains(address))
    }

    /// Returns `pool` if it overlaps neither with itself nor with a pool in use.
    fn check_overlap(&self, pool: Pool, raw: &IPAddressPool) -> Result<Pool, Refusal> {
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
