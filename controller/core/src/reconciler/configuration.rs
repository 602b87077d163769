//! Turns pools and advertisements into the configuration in force.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lodestone_crds::{
    Config, ConfigurationState, IPAddressPool, L2Advertisement, Refusal, ResourceChange, Resources,
    config::{ObjectKind, RefusalReason},
};

use super::{Reconciler, watch_kind::WatchKind};
use crate::{known::Known, notice::ObjectNotice};

impl Reconciler {
    /// Handles a change of an IPAddressPool.
    pub fn handle_pool(&mut self, change: ResourceChange<IPAddressPool>) {
        if change == ResourceChange::Synced {
            return self.set_synced(WatchKind::IPAddressPool);
        }
        let kind = ObjectKind::IPAddressPool;
        let stored = store(&mut self.pools, change, |pool| &mut pool.metadata);
        self.record_configuration_object(kind, stored);
    }

    /// Handles a change of an L2Advertisement. The controller announces nothing, but it reports
    /// what is wrong with advertisements.
    pub fn handle_l2_advertisement(&mut self, change: ResourceChange<L2Advertisement>) {
        if change == ResourceChange::Synced {
            return self.set_synced(WatchKind::L2Advertisement);
        }
        let kind = ObjectKind::L2Advertisement;
        let stored = store(&mut self.l2_advertisements, change, |it| &mut it.metadata);
        self.record_configuration_object(kind, stored);
    }

    /// Handles a change of the controller's own ConfigurationState.
    pub fn handle_configuration_state(&mut self, change: ResourceChange<ConfigurationState>) {
        match change {
            ResourceChange::Applied(state) => self.configuration_state = Known::Present(state),
            ResourceChange::Gone(_) | ResourceChange::Undecodable(..) => self.configuration_state = Known::Absent,
            ResourceChange::Synced => self.configuration_state.set_synced(),
        }
        // Another writer may have changed or deleted it.
        self.statuses_outdated = true;
    }

    /// Returns whether the status of a configuration object may be out of date, and resets that.
    pub fn poll_statuses_outdated(&mut self) -> bool {
        self.has_adopted && std::mem::take(&mut self.statuses_outdated)
    }

    /// Records an event about a configuration object. Returns whether it differs from the last one.
    /// While the watch lags behind, the same status may be written more than once.
    pub fn note_if_new(&mut self, event: &ObjectNotice) -> bool {
        let kind = match event.object.kind.as_deref() {
            Some("IPAddressPool") => ObjectKind::IPAddressPool,
            _ => ObjectKind::L2Advertisement,
        };
        let place = (kind, event.object.name.clone().unwrap_or_default());
        self.last_events.insert(place, event.notice.clone()).as_ref() != Some(&event.notice)
    }

    fn record_configuration_object(&mut self, kind: ObjectKind, stored: StoredObject) {
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
        self.rebuild_config();
    }

    pub(super) fn rebuild_config(&mut self) {
        if !self.synced.has_configuration() {
            return;
        }
        let config = Config::build(&self.resources());
        self.statuses_outdated = true;
        if config == self.config {
            return;
        }
        let is_new = |refusal: &&Refusal| !self.config.refused.contains(refusal);
        for refusal in config.refused.iter().filter(is_new) {
            tracing::warn!("{refusal}");
        }
        if config.pools != self.config.pools {
            let (pools, refused) = (config.pools.len(), config.refused.len());
            tracing::info!(pools, refused, "the configuration changed");
            self.enqueue_where(|_| true);
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
    }

    /// The configuration objects as the API server has them.
    pub(super) fn resources(&self) -> Resources {
        Resources {
            pools: self.pools.values().cloned().collect(),
            l2_advertisements: self.l2_advertisements.values().cloned().collect(),
            undecodable: self.undecodable.values().cloned().collect(),
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
            objects.remove(&key.name);
            StoredObject {
                name: key.name,
                error: None,
            }
        }
        ResourceChange::Undecodable(key, error) => {
            objects.remove(&key.name);
            StoredObject {
                name: key.name,
                error: Some(error),
            }
        }
        ResourceChange::Synced => StoredObject::default(),
    }
}
