//! Everything the controller knows, and which Service is to be looked at next. Pure: it is told what changed and asked what to do.

mod configuration;
mod queries;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use lodestone_crds::{Config, ConfigurationState, IPAddressPool, L2Advertisement, Labels, Refusal, config::ObjectKind};
use lodestone_daemon::{ObjectKey, events::Note, watch::Change};

use crate::{
    alloc::Allocator,
    plan::{Facts, OnPoolChange, Write, adopt, plan},
    service_view::ServiceView,
};

/// How long a write that failed waits for its next try, at first and at most; each failure doubles it.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// A status to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The Service.
    pub key: ObjectKey,
    /// The version that the plan was made from.
    pub resource_version: String,
    /// What its status is to say.
    pub write: Write,
    /// The conditions that it has.
    pub conditions: Vec<Condition>,
}

/// Everything the controller knows.
#[derive(Debug, Default)]
pub struct Reconciler {
    on_pool_change: OnPoolChange,
    services: HashMap<ObjectKey, ServiceView>,
    namespaces: HashMap<String, Labels>,
    pools: BTreeMap<String, IPAddressPool>,
    l2_advertisements: BTreeMap<String, L2Advertisement>,
    /// The controller's own ConfigurationState; `None`: not known yet, `Some(None)`: there is none.
    state: Option<Option<ConfigurationState>>,
    undecodable: BTreeMap<(ObjectKind, String), Refusal>,
    config: Config,
    allocator: Allocator,
    synced: HashSet<&'static str>,
    /// Whether this replica is the one that works; others only watch.
    leads: bool,
    /// Whether everything in use is held: then addresses are given out.
    adopted: bool,
    /// Services to be looked at, the oldest first.
    queue: BTreeSet<(Option<Timestamp>, ObjectKey)>,
    in_flight: HashSet<ObjectKey>,
    failures: HashMap<ObjectKey, u32>,
    problems: HashMap<ObjectKey, Note>,
    /// The Services that keep addresses that their pool would not give them today, and that pool.
    retained: BTreeMap<ObjectKey, String>,
    notes: Vec<(ObjectReference, Note)>,
    /// What is to be told when a status has been written.
    unwritten: HashMap<ObjectKey, Vec<Note>>,
    objects_changed: bool,
    /// What was last told of each object of the configuration.
    told: HashMap<(ObjectKind, String), Note>,
}

/// The watches that must have told everything before the first address is given out.
const WATCHES: [&str; 4] = ["Service", "Namespace", "IPAddressPool", "L2Advertisement"];

impl Reconciler {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(on_pool_change: OnPoolChange) -> Self {
        Self {
            on_pool_change,
            ..Self::default()
        }
    }

    /// Takes in a change of a Service.
    pub fn service(&mut self, change: Change<ServiceView>) {
        match change {
            Change::Applied(view) => {
                let key = view.key.clone();
                // An answer to our own write may have overtaken the watch.
                if self.services.get(&key).is_some_and(|known| known.is_newer_than(&view)) {
                    return;
                }
                // Another object under the same name: what the first one had is free.
                if self.services.get(&key).is_some_and(|known| known.uid != view.uid) {
                    self.forget(&key);
                }
                self.replace(view);
                self.enqueue(&key);
            }
            Change::Gone(key) => self.forget(&key),
            Change::Undecodable(key, error) => tracing::warn!(service = %key, error, "this Service can't be read"),
            Change::Synced => self.synced(WATCHES[0]),
        }
    }

    /// Takes in a change of a Namespace: its name and its labels.
    pub fn namespace(&mut self, change: Change<(String, Labels)>) {
        match change {
            Change::Applied((name, labels)) => {
                if self.namespaces.insert(name.clone(), labels.clone()).as_ref() != Some(&labels) {
                    self.enqueue_all(|service| service.key.namespace == name);
                }
            }
            Change::Gone(key) => {
                self.namespaces.remove(&key.name);
            }
            Change::Undecodable(key, error) => tracing::warn!(namespace = %key, error, "this Namespace can't be read"),
            Change::Synced => self.synced(WATCHES[1]),
        }
    }

    /// The next status to be written, if there is one. Nothing is planned before everything that is in use is known.
    pub fn next_job(&mut self) -> Option<Job> {
        if !self.adopted {
            return None;
        }
        loop {
            let entry = self
                .queue
                .iter()
                .find(|(_, key)| !self.in_flight.contains(key))
                .cloned()?;
            self.queue.remove(&entry);
            if let Some(job) = self.look_at(&entry.1) {
                self.in_flight.insert(job.key.clone());
                return Some(job);
            }
        }
    }

    fn look_at(&mut self, key: &ObjectKey) -> Option<Job> {
        let service = self.services.get(key)?;
        // Which pools serve it can't be said before its namespace is known, which is about to be told.
        let namespace_labels = self.namespaces.get(&key.namespace)?;
        let facts = Facts {
            service,
            namespace_labels,
            config: &self.config,
            on_pool_change: self.on_pool_change,
        };
        let before = self.allocator.tenant(key).cloned();
        let held = self.allocator.held(key).to_vec();
        let plan = plan(facts, &mut self.allocator);
        let (reference, resource_version) = (service.reference(), service.resource_version.clone());
        let conditions = service.conditions.clone();
        for note in &plan.notes {
            tracing::info!(service = %key, reason = note.reason, "{}", note.text);
        }
        self.unwritten.entry(key.clone()).or_default().extend(plan.notes);
        match plan.problem {
            // Told when it changes, not whenever it is looked at.
            Some(problem) if self.problems.get(key) != Some(&problem) => {
                tracing::warn!(service = %key, reason = problem.reason, "{}", problem.text);
                self.notes.push((reference.clone(), problem.clone()));
                self.problems.insert(key.clone(), problem);
            }
            Some(_) => {}
            None => {
                self.problems.remove(key);
            }
        }
        self.objects_changed |= held != self.allocator.held(key);
        let retained = match plan.retained {
            Some(pool) => self.retained.insert(key.clone(), pool.clone()) != Some(pool),
            None => self.retained.remove(key).is_some(),
        };
        self.objects_changed |= retained;
        // Others may be able to share now, with its new key, policy or ports.
        if before.is_some() && before.as_ref() != self.allocator.tenant(key) {
            self.wake_waiting();
        }
        match plan.write {
            Some(write) => {
                self.objects_changed = true;
                Some(Job {
                    key: key.clone(),
                    resource_version,
                    write,
                    conditions,
                })
            }
            None => {
                self.says_so(key, &reference);
                None
            }
        }
    }

    /// The status of a Service says what it holds: that is told, and what it gave up is free.
    fn says_so(&mut self, key: &ObjectKey, reference: &ObjectReference) {
        self.failures.remove(key);
        let notes = self.unwritten.remove(key).unwrap_or_default();
        self.notes
            .extend(notes.into_iter().map(|note| (reference.clone(), note)));
        if !self.allocator.left(key).is_empty() {
            self.objects_changed = true;
            self.wake_waiting();
        }
    }

    /// Takes in that a status was written: the Service as it is now.
    pub fn written(&mut self, view: ServiceView) {
        self.in_flight.remove(&view.key);
        self.failures.remove(&view.key);
        let known = self.services.get(&view.key);
        if known.is_none_or(|known| known.uid != view.uid) {
            // It is gone, or another one, by now.
            return;
        }
        let (key, reference) = (view.key.clone(), view.reference());
        if known.is_some_and(|known| !known.is_newer_than(&view)) {
            self.replace(view);
        }
        self.says_so(&key, &reference);
    }

    /// Takes in that a write failed. Gives back how long to wait before [`Self::retry`].
    pub fn failed(&mut self, key: &ObjectKey) -> Duration {
        if !self.services.contains_key(key) {
            return RETRY.0;
        }
        let failures = self.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1);
        RETRY.0.saturating_mul(1 << (*failures - 1).min(10)).min(RETRY.1)
    }

    /// The wait after a failed write is over.
    pub fn retry(&mut self, key: &ObjectKey) {
        self.in_flight.remove(key);
        self.enqueue(key);
    }

    /// What is to be told as events.
    pub fn take_notes(&mut self) -> Vec<(ObjectReference, Note)> {
        std::mem::take(&mut self.notes)
    }

    /// Whether the status of a pool or of an advertisement may have changed since this was last asked.
    pub fn take_objects_changed(&mut self) -> bool {
        self.adopted && std::mem::take(&mut self.objects_changed)
    }

    /// Takes in a change of the controller's own ConfigurationState.
    pub fn configuration_state(&mut self, change: Change<ConfigurationState>) {
        match change {
            Change::Applied(state) => self.state = Some(Some(state)),
            Change::Gone(_) | Change::Undecodable(..) => self.state = Some(None),
            Change::Synced => {
                self.state.get_or_insert(None);
            }
        }
        // Somebody may have changed or deleted it.
        self.objects_changed = true;
    }

    /// Whether this is something else than what was last told of an object of the configuration.
    pub fn is_news(&mut self, reference: &ObjectReference, note: &Note) -> bool {
        let kind = match reference.kind.as_deref() {
            Some("IPAddressPool") => ObjectKind::IPAddressPool,
            _ => ObjectKind::L2Advertisement,
        };
        let place = (kind, reference.name.clone().unwrap_or_default());
        self.told.insert(place, note.clone()).as_ref() != Some(note)
    }

    /// All Services are about to be told anew.
    pub fn services_anew(&mut self) {
        self.services.clear();
        self.synced.remove(WATCHES[0]);
    }

    /// This replica is to work from now on, or to stop. What it begins with must have been read after it came to lead: see
    /// [`Self::services_anew`].
    pub fn lead(&mut self, leads: bool) {
        self.leads = leads;
        if leads {
            self.adopt_all();
        } else {
            self.adopted = false;
            self.allocator = Allocator::default();
            self.queue.clear();
            self.in_flight.clear();
            self.failures.clear();
            self.problems.clear();
            self.retained.clear();
            self.unwritten.clear();
        }
    }

    fn replace(&mut self, view: ServiceView) {
        let key = view.key.clone();
        if let Some(old) = self.services.insert(key.clone(), view) {
            // Its place in the queue is by its age.
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
        let freed = self.allocator.release(key);
        if !freed.is_empty() {
            tracing::info!(service = %key, ?freed, "the Service is gone, its addresses are free");
            self.objects_changed = true;
            self.wake_waiting();
        }
    }

    fn enqueue(&mut self, key: &ObjectKey) {
        if let Some(service) = self.services.get(key) {
            self.queue.insert((service.created, key.clone()));
        }
    }

    fn enqueue_all(&mut self, of_interest: impl Fn(&ServiceView) -> bool) {
        let services = self.services.values().filter(|service| of_interest(service));
        self.queue
            .extend(services.map(|service| (service.created, service.key.clone())));
    }

    /// Everybody with a problem is looked at again: what has become free may be what one of them waits for.
    fn wake_waiting(&mut self) {
        let waiting: Vec<ObjectKey> = self.problems.keys().cloned().collect();
        for key in waiting {
            self.enqueue(&key);
        }
    }

    fn synced(&mut self, watch: &'static str) {
        self.synced.insert(watch);
        self.rebuild();
        self.adopt_all();
    }

    /// Everything that is in use is taken note of, the oldest Service first, before the first address is given out.
    fn adopt_all(&mut self) {
        if self.adopted || !self.leads || !self.is_synced() {
            return;
        }
        let mut services: Vec<&ServiceView> = self.services.values().filter(|service| service.balanced).collect();
        services.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        let adopted = services
            .iter()
            .filter(|service| adopt(service, &self.config, &mut self.allocator))
            .count();
        tracing::info!(services = services.len(), adopted, "all addresses in use are known");
        self.adopted = true;
        self.objects_changed = true;
        self.enqueue_all(|_| true);
    }
}

#[cfg(test)]
mod tests;
