//! What others may see of everything that the controller knows.

use std::collections::{BTreeMap, HashMap};

use lodestone_crds::{Config, ConfigurationState, IPAddressPool, L2Advertisement};
use lodestone_daemon::{ObjectKey, events::Note};

use super::{Reconciler, WATCHES};
use crate::{
    admission::{Edit, Known, Verdict, review},
    alloc::Allocator,
};

impl Reconciler {
    /// The controller's own ConfigurationState, if that is known yet and there is one.
    #[must_use]
    pub fn state(&self) -> Option<Option<&ConfigurationState>> {
        self.state.as_ref().map(Option::as_ref)
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Who holds what.
    #[must_use]
    pub const fn allocator(&self) -> &Allocator {
        &self.allocator
    }

    /// All pools as they were read.
    pub fn pools(&self) -> impl Iterator<Item = &IPAddressPool> {
        self.pools.values()
    }

    /// All advertisements as they were read.
    pub fn l2_advertisements(&self) -> impl Iterator<Item = &L2Advertisement> {
        self.l2_advertisements.values()
    }

    /// What does not work, by Service.
    #[must_use]
    pub const fn problems(&self) -> &HashMap<ObjectKey, Note> {
        &self.problems
    }

    /// The Services that keep addresses that their pool would not give them today, and that pool.
    #[must_use]
    pub const fn retained(&self) -> &BTreeMap<ObjectKey, String> {
        &self.retained
    }

    /// For each Service that has an address of a pool, that pool.
    pub fn pools_of_services(&self) -> impl Iterator<Item = &str> {
        let served = self.services.values();
        served
            .filter(|service| !self.allocator.held(&service.key).is_empty())
            .filter_map(|service| service.recorded_pool.as_deref())
    }

    /// What is to be said to a user who is about to change the configuration. Nothing is refused before everything is known.
    #[must_use]
    pub fn review(&self, edit: &Edit) -> Verdict {
        if !self.is_synced() {
            return Verdict::default();
        }
        let resources = self.resources();
        review(
            edit,
            &Known {
                resources: &resources,
                config: &self.config,
                services: &self.services,
                namespaces: &self.namespaces,
                on_pool_change: self.on_pool_change,
            },
        )
    }

    /// How many Services wait to be looked at.
    #[must_use]
    pub fn queue_length(&self) -> usize {
        self.queue.len()
    }

    /// Whether this replica gives out addresses.
    #[must_use]
    pub const fn works(&self) -> bool {
        self.adopted
    }

    /// Whether the pools and advertisements have been told.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        WATCHES[2..].iter().all(|watch| self.synced.contains(watch))
    }

    /// Whether all watches have told everything: this replica could work.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        WATCHES.iter().all(|watch| self.synced.contains(watch))
    }
}
