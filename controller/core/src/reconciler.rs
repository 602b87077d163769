//! Owns everything that the controller knows, and chooses which Service is planned next.
//!
//! A Service enters the queue when it, its namespace or the pools change, and when an address is
//! released while the Service waits for one. The oldest Service is planned first. A Service whose
//! status is being written stays in the queue until the result of the write is known.

mod configuration;
mod leadership;
mod planning;
mod queries;
mod watch_kind;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use lodestone_crds::{
    Config, ConfigurationState, IPAddressPool, L2Advertisement, Labels, ObjectKey, Refusal, ResourceChange,
    config::ObjectKind,
};

use crate::{
    alloc::Allocator,
    backoff::Backoff,
    known::Known,
    notice::{Notice, ObjectNotice},
    plan::{DesiredStatus, OnPoolChange},
    service_view::ServiceView,
};
use watch_kind::{WatchKind, WatchSet};

/// How long a failed write waits before the next try.
const WRITE_BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    max: Duration::from_secs(30),
};

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
    pools: BTreeMap<String, IPAddressPool>,
    l2_advertisements: BTreeMap<String, L2Advertisement>,
    /// The controller's own ConfigurationState.
    configuration_state: Known<ConfigurationState>,
    undecodable: BTreeMap<(ObjectKind, String), Refusal>,
    config: Config,
    allocator: Allocator,
    synced: WatchSet,
    /// Whether this replica is the leader. A standby only watches.
    is_leader: bool,
    /// Whether every address in use is held. Only then are addresses allocated.
    has_adopted: bool,
    /// Services to plan, the oldest first.
    queue: BTreeSet<(Option<Timestamp>, ObjectKey)>,
    /// Services whose status is being written, or waits to be written again.
    in_flight: HashSet<ObjectKey>,
    /// Failed writes in a row.
    failures: HashMap<ObjectKey, u32>,
    /// What does not work, by Service. These Services wait for an address to be released.
    problems: HashMap<ObjectKey, Notice>,
    /// The Services that retain addresses, with the pool that the addresses are from.
    retained: BTreeMap<ObjectKey, String>,
    /// Events to send.
    events: Vec<ObjectNotice>,
    /// Events to send once the status of the Service is written.
    unwritten: HashMap<ObjectKey, Vec<Notice>>,
    /// Whether the status of a configuration object may be out of date.
    statuses_outdated: bool,
    /// The last event sent about each configuration object.
    last_events: HashMap<(ObjectKind, String), Notice>,
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
                    self.enqueue_where(|service| service.key.namespace == name);
                }
            }
            ResourceChange::Gone(key) => {
                self.namespaces.remove(&key.name);
            }
            ResourceChange::Undecodable(key, error) => {
                tracing::warn!(namespace = %key, error, "cannot decode the Namespace");
            }
            ResourceChange::Synced => self.set_synced(WatchKind::Namespace),
        }
    }

    /// Handles a successful write; `view` is the Service that the API server returned.
    pub fn handle_write_succeeded(&mut self, view: ServiceView) {
        self.in_flight.remove(&view.key);
        self.failures.remove(&view.key);
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
        let failures = self.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1);
        WRITE_BACKOFF.after(*failures)
    }

    /// Plans a Service again: the wait after its failed write is over.
    pub fn handle_retry_due(&mut self, key: &ObjectKey) {
        self.in_flight.remove(key);
        self.enqueue(key);
    }

    /// Returns the events to send since the last call.
    pub fn poll_events(&mut self) -> Vec<ObjectNotice> {
        std::mem::take(&mut self.events)
    }

    fn replace(&mut self, view: ServiceView) {
        let key = view.key.clone();
        if let Some(old) = self.services.insert(key.clone(), view) {
            // Its place in the queue depends on its age.
            if self.queue.remove(&(old.created, key.clone())) {
                self.enqueue(&key);
            }
        }
    }

    fn forget(&mut self, key: &ObjectKey) {
        if let Some(old) = self.services.remove(key) {
            self.queue.remove(&(old.created, key.clone()));
        }
        self.problems.remove(key);
        self.retained.remove(key);
        self.failures.remove(key);
        self.unwritten.remove(key);
        let freed = self.allocator.release_all(key);
        if !freed.is_empty() {
            tracing::info!(service = %key, ?freed, "released the addresses of a deleted Service");
            self.statuses_outdated = true;
            self.wake_waiting();
        }
    }

    fn enqueue(&mut self, key: &ObjectKey) {
        if let Some(service) = self.services.get(key) {
            self.queue.insert((service.created, key.clone()));
        }
    }

    fn enqueue_where(&mut self, is_affected: impl Fn(&ServiceView) -> bool) {
        let services = self.services.values().filter(|service| is_affected(service));
        self.queue
            .extend(services.map(|service| (service.created, service.key.clone())));
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
