//! Owns everything that the controller knows, and chooses which Service is planned next.
//!
//! A Service enters the queue when it, its namespace or the pools change, and when an address is
//! released while the Service waits for one. The oldest Service is planned first. A Service whose
//! status is being written stays in the queue until the result of the write is known.

mod configuration;
mod configuration_objects;
mod leadership;
mod planning;
mod queries;
mod watch_kind;
mod work_queue;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use lodestone_crds::{Labels, ObjectKey, ResourceChange};

use crate::{
    alloc::Allocator,
    notice::{Notice, ObjectNotice},
    plan::{DesiredStatus, OnPoolChange},
    service_view::ServiceView,
};
use configuration_objects::ConfigurationObjects;
use watch_kind::{WatchKind, WatchSet};
use work_queue::{WRITE_BACKOFF, WorkQueue};

/// The status of a Service, to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The Service.
    pub key: ObjectKey,
    /// The version of the Service that the plan was made from.
    pub resource_version: String,
    /// The status to write.
    pub status: DesiredStatus,
    /// The conditions that the Service has.
    pub conditions: Vec<Condition>,
}

/// Everything that the controller knows.
#[derive(Debug, Default)]
pub struct Reconciler {
    on_pool_change: OnPoolChange,
    services: HashMap<ObjectKey, ServiceView>,
    namespaces: HashMap<String, Labels>,
    configuration: ConfigurationObjects,
    allocator: Allocator,
    synced: WatchSet,
    /// Whether this replica is the leader. A standby only watches.
    is_leader: bool,
    /// Whether every address in use is held. Only then are addresses allocated.
    has_adopted: bool,
    /// The Services to plan, and the writes under way.
    work: WorkQueue,
    /// What does not work, by Service. These Services wait for an address to be released.
    problems: HashMap<ObjectKey, Notice>,
    /// The Services that retain addresses, with the pool that the addresses are from.
    retained: BTreeMap<ObjectKey, String>,
    /// Events to send.
    events: Vec<ObjectNotice>,
}

impl Reconciler {
    /// A reconciler that knows nothing yet and is not leader.
    #[must_use]
    pub fn new(on_pool_change: OnPoolChange) -> Self {
        Self {
            on_pool_change,
            ..Self::default()
        }
    }

    /// Handles a change of a Service.
    pub fn handle_service(&mut self, change: ResourceChange<ServiceView>) {
        match change {
            ResourceChange::Applied(view) => self.apply_service(view),
            ResourceChange::Gone(key) => self.forget(&key),
            ResourceChange::Undecodable(key, error) => {
                tracing::warn!(service = %key, error, "cannot decode the Service");
            }
            ResourceChange::Synced => self.set_synced(WatchKind::Service),
        }
    }

    fn apply_service(&mut self, view: ServiceView) {
        let key = view.key.clone();
        if let Some(known) = self.services.get(&key) {
            // The answer to our own write can arrive before the watch reports an older version.
            if known.is_newer_than(&view) {
                return;
            }
            // A new object of the same name: the addresses of the old one are free.
            if known.uid != view.uid {
                self.forget(&key);
            }
        }
        self.replace(view);
        self.enqueue(&key);
    }

    /// Handles a change of a Namespace: its name and its labels.
    pub fn handle_namespace(&mut self, change: ResourceChange<(String, Labels)>) {
        match change {
            ResourceChange::Applied((name, labels)) => {
                if self.namespaces.insert(name.clone(), labels.clone()).as_ref() != Some(&labels) {
                    self.enqueue_where(|service| service.key.namespace() == name);
                }
            }
            ResourceChange::Gone(key) => {
                self.namespaces.remove(key.name());
            }
            ResourceChange::Undecodable(key, error) => {
                tracing::warn!(namespace = %key, error, "cannot decode the Namespace");
            }
            ResourceChange::Synced => self.set_synced(WatchKind::Namespace),
        }
    }

    /// Handles a successful write; `view` is the Service that the API server returned.
    pub fn handle_write_succeeded(&mut self, view: ServiceView) {
        self.work.end_write(&view.key);
        let Some(known) = self.services.get(&view.key).filter(|known| known.uid == view.uid) else {
            // The Service no longer exists, or a new one has its name.
            return;
        };
        let (key, reference) = (view.key.clone(), view.reference());
        if !known.is_newer_than(&view) {
            self.replace(view);
        }
        self.finish_write(&key, &reference);
    }

    /// Handles a failed write. Returns how long to wait before [`Self::handle_retry_due`].
    pub fn handle_write_failed(&mut self, key: &ObjectKey) -> Duration {
        if !self.services.contains_key(key) {
            return WRITE_BACKOFF.first;
        }
        self.work.count_failure(key)
    }

    /// Plans a Service again: the wait after its failed write is over.
    pub fn handle_retry_due(&mut self, key: &ObjectKey) {
        self.work.end_wait(key);
        self.enqueue(key);
    }

    /// Returns the events to send since the last call.
    pub fn poll_events(&mut self) -> Vec<ObjectNotice> {
        std::mem::take(&mut self.events)
    }

    fn replace(&mut self, view: ServiceView) {
        let key = view.key.clone();
        // Its place in the queue depends on its age.
        if let Some(old) = self.services.insert(key.clone(), view)
            && self.work.dequeue(&old)
        {
            self.enqueue(&key);
        }
    }

    fn forget(&mut self, key: &ObjectKey) {
        if let Some(old) = self.services.remove(key) {
            self.work.dequeue(&old);
        }
        self.work.forget(key);
        self.problems.remove(key);
        self.retained.remove(key);
        let freed = self.allocator.release_all(key);
        if !freed.is_empty() {
            tracing::info!(service = %key, ?freed, "released the addresses of a deleted Service");
            self.configuration.mark_statuses_outdated();
            self.wake_waiting();
        }
    }

    fn enqueue(&mut self, key: &ObjectKey) {
        if let Some(service) = self.services.get(key) {
            self.work.enqueue(service);
        }
    }

    fn enqueue_where(&mut self, is_affected: impl Fn(&ServiceView) -> bool) {
        for service in self.services.values().filter(|service| is_affected(service)) {
            self.work.enqueue(service);
        }
    }

    /// Plans every Service with a problem again: a released address may be the one that it needs.
    fn wake_waiting(&mut self) {
        let waiting: Vec<ObjectKey> = self.problems.keys().cloned().collect();
        for key in waiting {
            self.enqueue(&key);
        }
    }

    fn set_synced(&mut self, watch: WatchKind) {
        self.synced.insert(watch);
        self.rebuild_config();
        self.adopt_all();
    }
}

#[cfg(test)]
mod tests;
