//! The pools and advertisements as the API server has them, and the configuration built from them.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lodestone_crds::{
    Config, ConfigurationState, IPAddressPool, L2Advertisement, Refusal, ResourceChange, Resources,
    config::{ObjectKind, RefusalReason},
};

use crate::{
    known::Known,
    notice::{Notice, ObjectNotice},
};

/// Every configuration object, the configuration in force, and whether their statuses are up to
/// date.
#[derive(Debug, Default)]
pub(super) struct ConfigurationObjects {
    pools: BTreeMap<String, IPAddressPool>,
    l2_advertisements: BTreeMap<String, L2Advertisement>,
    /// Objects that cannot be decoded, which are in neither of the two maps.
    undecodable: BTreeMap<(ObjectKind, String), Refusal>,
    /// The controller's own ConfigurationState.
    configuration_state: Known<ConfigurationState>,
    config: Config,
    /// Whether the status of a configuration object may be out of date.
    statuses_outdated: bool,
    /// The last event sent about each configuration object.
    last_events: HashMap<(ObjectKind, String), Notice>,
}

impl ConfigurationObjects {
    pub(super) fn pools(&self) -> impl Iterator<Item = &IPAddressPool> {
        self.pools.values()
    }

    pub(super) fn l2_advertisements(&self) -> impl Iterator<Item = &L2Advertisement> {
        self.l2_advertisements.values()
    }

    pub(super) const fn configuration_state(&self) -> Known<&ConfigurationState> {
        self.configuration_state.as_ref()
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    /// All objects, as the input of [`Config::build`].
    pub(super) fn resources(&self) -> Resources {
        Resources {
            pools: self.pools.values().cloned().collect(),
            l2_advertisements: self.l2_advertisements.values().cloned().collect(),
            undecodable: self.undecodable.values().cloned().collect(),
        }
    }

    /// Stores a change of a pool. [`Self::rebuild`] brings it into force.
    pub(super) fn store_pool(&mut self, change: ResourceChange<IPAddressPool>) {
        let stored = store(&mut self.pools, change, |pool| &mut pool.metadata);
        self.record_decoding(ObjectKind::IPAddressPool, stored);
    }

    /// Stores a change of an advertisement. [`Self::rebuild`] brings it into force.
    pub(super) fn store_l2_advertisement(&mut self, change: ResourceChange<L2Advertisement>) {
        let stored = store(&mut self.l2_advertisements, change, |it| &mut it.metadata);
        self.record_decoding(ObjectKind::L2Advertisement, stored);
    }

    /// Stores a change of the controller's own ConfigurationState.
    pub(super) fn store_configuration_state(&mut self, change: ResourceChange<ConfigurationState>) {
        match change {
            ResourceChange::Applied(state) => self.configuration_state = Known::Present(state),
            ResourceChange::Gone(_) | ResourceChange::Undecodable(..) => self.configuration_state = Known::Absent,
            ResourceChange::Synced => self.configuration_state.set_synced(),
        }
        // Another writer may have changed or deleted it.
        self.statuses_outdated = true;
    }

    /// Builds the configuration from all objects. Returns whether the pools in force have changed.
    pub(super) fn rebuild(&mut self) -> bool {
        let config = Config::build(&self.resources());
        self.statuses_outdated = true;
        if config == self.config {
            return false;
        }
        let is_new = |refusal: &&Refusal| !self.config.refused.contains(refusal);
        for refusal in config.refused.iter().filter(is_new) {
            tracing::warn!("{refusal}");
        }
        let pools_changed = config.pools != self.config.pools;
        if pools_changed {
            let (pools, refused) = (config.pools.len(), config.refused.len());
            tracing::info!(pools, refused, "the configuration changed");
        }
        self.config = config;
        // An object that is repaired and then refused again gets a new event.
        let refused = &self.config.refused;
        let is_refused = |kind, name: &String| {
            refused
                .iter()
                .any(|refusal| refusal.kind == kind && refusal.name == *name)
        };
        self.last_events.retain(|(kind, name), _| is_refused(*kind, name));
        pools_changed
    }

    /// Records that the status of a configuration object may be out of date.
    pub(super) const fn mark_statuses_outdated(&mut self) {
        self.statuses_outdated = true;
    }

    /// Returns whether the status of a configuration object may be out of date, and resets that.
    pub(super) const fn take_statuses_outdated(&mut self) -> bool {
        std::mem::replace(&mut self.statuses_outdated, false)
    }

    /// Records an event about a configuration object. Returns whether it differs from the last one.
    pub(super) fn note_if_new(&mut self, event: &ObjectNotice) -> bool {
        let kind = match event.object.kind.as_deref() {
            Some("IPAddressPool") => ObjectKind::IPAddressPool,
            _ => ObjectKind::L2Advertisement,
        };
        let place = (kind, event.object.name.clone().unwrap_or_default());
        self.last_events.insert(place, event.notice.clone()).as_ref() != Some(&event.notice)
    }

    fn record_decoding(&mut self, kind: ObjectKind, stored: StoredObject) {
        let place = (kind, stored.name);
        match stored.error {
            Some(message) => {
                let refusal = Refusal {
                    kind,
                    name: place.1.clone(),
                    reason: RefusalReason::Invalid,
                    field: String::new(),
                    message,
                };
                self.undecodable.insert(place, refusal);
            }
            None => {
                self.undecodable.remove(&place);
            }
        }
    }
}

/// What became of a changed object.
#[derive(Default)]
struct StoredObject {
    name: String,
    /// Why the object cannot be decoded, if so.
    error: Option<String>,
}

fn store<K>(
    objects: &mut BTreeMap<String, K>,
    change: ResourceChange<K>,
    metadata: impl Fn(&mut K) -> &mut ObjectMeta,
) -> StoredObject {
    match change {
        ResourceChange::Applied(mut object) => {
            let metadata = metadata(&mut object);
            metadata.managed_fields = None;
            let name = metadata.name.clone().unwrap_or_default();
            objects.insert(name.clone(), object);
            StoredObject { name, error: None }
        }
        ResourceChange::Gone(key) => {
            objects.remove(key.name());
            StoredObject {
                name: key.name().to_owned(),
                error: None,
            }
        }
        ResourceChange::Undecodable(key, error) => {
            objects.remove(key.name());
            StoredObject {
                name: key.name().to_owned(),
                error: Some(error),
            }
        }
        ResourceChange::Synced => StoredObject::default(),
    }
}
