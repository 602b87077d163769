//! A validated L2Advertisement.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;

use super::{Pool, Refusal};
use crate::{
    L2Advertisement,
    selector::{Labels, Selector, any_matches},
};

/// An L2Advertisement in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Advertisement {
    /// The name of the object.
    pub name: String,
    pools: BTreeSet<String>,
    pool_selectors: Vec<Selector>,
    node_selectors: Vec<Selector>,
    /// The names of the interfaces to announce on; empty: all.
    pub interfaces: BTreeSet<String>,
    service_selectors: Vec<Selector>,
    preferences: Vec<Preference>,
}

/// A weighted preference for some nodes.
#[derive(Clone, Debug, PartialEq)]
struct Preference {
    weight: u32,
    nodes: Selector,
}

impl Advertisement {
    pub(super) fn build(raw: &L2Advertisement) -> Result<Self, Refusal> {
        let spec = &raw.spec.spec;
        let selector = |field: &str, index: usize, selector: &LabelSelector| {
            let path = || format!("spec.{field}[{index}]");
            Selector::new(selector).map_err(|error| Refusal::of_l2(raw, &path(), error.to_string()))
        };
        let selectors = |field: &str, raw: &[LabelSelector]| {
            raw.iter()
                .enumerate()
                .map(|(index, raw)| selector(field, index, raw))
                .collect::<Result<Vec<_>, _>>()
        };
        let mut preferences = Vec::with_capacity(spec.preferred_node_selectors.len());
        for (index, preferred) in spec.preferred_node_selectors.iter().enumerate() {
            let weight = u32::try_from(preferred.weight)
                .ok()
                .filter(|weight| (1..=100).contains(weight));
            let weight = weight.ok_or_else(|| {
                let field = format!("spec.preferredNodeSelectors[{index}].weight");
                Refusal::of_l2(
                    raw,
                    &field,
                    format!("{} is not a weight from 1 to 100", preferred.weight),
                )
            })?;
            let nodes = selector("preferredNodeSelectors", index, &preferred.preference)?;
            preferences.push(Preference { weight, nodes });
        }
        Ok(Self {
            name: raw.name_any(),
            pools: spec.ip_address_pools.iter().cloned().collect(),
            pool_selectors: selectors("ipAddressPoolSelectors", &spec.ip_address_pool_selectors)?,
            node_selectors: selectors("nodeSelectors", &spec.node_selectors)?,
            interfaces: spec.interfaces.iter().cloned().collect(),
            service_selectors: selectors("serviceSelectors", &spec.service_selectors)?,
            preferences,
        })
    }

    /// Whether the advertisement covers all pools.
    #[must_use]
    pub fn covers_all_pools(&self) -> bool {
        self.pools.is_empty() && self.pool_selectors.is_empty()
    }

    /// Whether the advertisement names the pool `name`. That pool may have been deleted, although
    /// its addresses are still in use.
    #[must_use]
    pub fn names_pool(&self, name: &str) -> bool {
        self.pools.contains(name)
    }

    /// Whether the advertisement covers the addresses of `pool`.
    #[must_use]
    pub fn covers_pool(&self, pool: &Pool) -> bool {
        self.covers_all_pools() || self.names_pool(&pool.name) || any_matches(&self.pool_selectors, &pool.labels)
    }

    /// Whether the advertisement covers a Service with `labels`.
    #[must_use]
    pub fn covers_service(&self, labels: &Labels) -> bool {
        self.service_selectors.is_empty() || any_matches(&self.service_selectors, labels)
    }

    /// Whether the advertisement is restricted to some Services.
    #[must_use]
    pub fn selects_services(&self) -> bool {
        !self.service_selectors.is_empty()
    }

    /// Whether a node with `labels` may announce the addresses.
    #[must_use]
    pub fn covers_node(&self, labels: &Labels) -> bool {
        self.node_selectors.is_empty() || any_matches(&self.node_selectors, labels)
    }

    /// Returns the sum of the weights of all preferences that match a node with `labels`.
    #[must_use]
    pub fn weight(&self, labels: &Labels) -> u32 {
        let matching = self
            .preferences
            .iter()
            .filter(|preference| preference.nodes.matches(labels));
        matching.map(|preference| preference.weight).sum()
    }
}
