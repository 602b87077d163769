//! An advertisement that is in use.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;

use super::{Pool, Refusal};
use crate::{
    L2Advertisement,
    selector::{Labels, Selector, any_matches},
};

/// An advertisement by ARP and NDP that is in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Advertisement {
    /// Its name.
    pub name: String,
    pools: BTreeSet<String>,
    pool_selectors: Vec<Selector>,
    node_selectors: Vec<Selector>,
    /// Names of the interfaces that it is restricted to; empty: all.
    pub interfaces: BTreeSet<String>,
    service_selectors: Vec<Selector>,
    preferences: Vec<Preference>,
}

/// A preference for some nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Preference {
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

    /// Whether it covers every pool there is.
    #[must_use]
    pub fn covers_all_pools(&self) -> bool {
        self.pools.is_empty() && self.pool_selectors.is_empty()
    }

    /// Whether it names the pool `name`; one that is gone may still be named, and its addresses still be in use.
    #[must_use]
    pub fn names_pool(&self, name: &str) -> bool {
        self.pools.contains(name)
    }

    /// Whether it covers the addresses of `pool`.
    #[must_use]
    pub fn covers_pool(&self, pool: &Pool) -> bool {
        self.covers_all_pools() || self.names_pool(&pool.name) || any_matches(&self.pool_selectors, &pool.labels)
    }

    /// Whether it covers a Service with these labels.
    #[must_use]
    pub fn covers_service(&self, labels: &Labels) -> bool {
        self.service_selectors.is_empty() || any_matches(&self.service_selectors, labels)
    }

    /// Whether it is restricted to some Services at all.
    #[must_use]
    pub fn selects_services(&self) -> bool {
        !self.service_selectors.is_empty()
    }

    /// Whether a node with these labels may announce under it.
    #[must_use]
    pub fn covers_node(&self, labels: &Labels) -> bool {
        self.node_selectors.is_empty() || any_matches(&self.node_selectors, labels)
    }

    /// The sum of the weights of all preferences that a node with these labels meets.
    #[must_use]
    pub fn weight(&self, labels: &Labels) -> u32 {
        let met = self
            .preferences
            .iter()
            .filter(|preference| preference.nodes.matches(labels));
        met.map(|preference| preference.weight).sum()
    }
}
