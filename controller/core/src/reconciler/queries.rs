//! Read access to the reconciler's state, for metrics, statuses, `/debug/state` and the webhook.

use std::collections::{BTreeMap, HashMap};

use lodestone_crds::{Config, ConfigurationState, IPAddressPool, L2Advertisement, ObjectKey};

use super::Reconciler;
use crate::{
    admission::{self, AdmissionVerdict, ClusterView, Edit},
    alloc::Allocator,
    known::Known,
    notice::Notice,
};

impl Reconciler {
    /// The controller's own ConfigurationState.
    #[must_use]
    pub const fn configuration_state(&self) -> Known<&ConfigurationState> {
        self.configuration.configuration_state()
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        self.configuration.config()
    }

    /// The addresses in use, and the Services that hold them.
    #[must_use]
    pub const fn allocator(&self) -> &Allocator {
        &self.allocator
    }

    /// All pools as the API server has them.
    pub fn pools(&self) -> impl Iterator<Item = &IPAddressPool> {
        self.configuration.pools()
    }

    /// All advertisements as the API server has them.
    pub fn l2_advertisements(&self) -> impl Iterator<Item = &L2Advertisement> {
        self.configuration.l2_advertisements()
    }

    /// What does not work, by Service.
    #[must_use]
    pub const fn problems(&self) -> &HashMap<ObjectKey, Notice> {
        &self.problems
    }

    /// The Services that retain addresses, with the pool that the addresses are from.
    #[must_use]
    pub const fn retained(&self) -> &BTreeMap<ObjectKey, String> {
        &self.retained
    }

    /// For each Service that holds an address of a pool, that pool.
    pub fn pools_of_services(&self) -> impl Iterator<Item = &str> {
        let holders = self.services.values();
        holders
            .filter(|service| !self.allocator.held(&service.key).is_empty())
            .filter_map(|service| service.recorded_pool.as_deref())
    }

    /// Reviews an edit of the configuration. Every edit is allowed until all watches have synced.
    #[must_use]
    pub fn review(&self, edit: &Edit) -> AdmissionVerdict {
        if !self.is_synced() {
            return AdmissionVerdict::default();
        }
        let resources = self.configuration.resources();
        let cluster = ClusterView {
            resources: &resources,
            config: self.configuration.config(),
            services: &self.services,
            namespaces: &self.namespaces,
            on_pool_change: self.on_pool_change,
        };
        admission::review(edit, &cluster)
    }

    /// How many Services wait to be planned.
    #[must_use]
    pub fn queue_length(&self) -> usize {
        self.work.len()
    }

    /// Whether this replica allocates addresses: it is leader and has adopted all addresses in use.
    #[must_use]
    pub const fn is_allocating(&self) -> bool {
        self.has_adopted
    }

    /// Whether the lists of pools and advertisements are complete.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.synced.has_configuration()
    }

    /// Whether all watches have synced. A replica that has synced can become leader.
    #[must_use]
    pub const fn is_synced(&self) -> bool {
        self.synced.is_complete()
    }
}
