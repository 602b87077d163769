//! The Services to plan, and the writes that follow from plans.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;
use lodestone_crds::ObjectKey;

use crate::{backoff::Backoff, notice::Notice, service_view::ServiceView};

/// How long a failed write waits before the next try.
pub(super) const WRITE_BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    max: Duration::from_secs(30),
};

/// The Services to plan, the oldest first, and the writes under way. A Service is not planned while
/// its status is being written.
#[derive(Debug, Default)]
pub(super) struct WorkQueue {
    /// Services to plan, by age.
    queue: BTreeSet<(Option<Timestamp>, ObjectKey)>,
    /// Services whose status is being written, or waits to be written again.
    in_flight: HashSet<ObjectKey>,
    /// Failed writes in a row.
    failures: HashMap<ObjectKey, u32>,
    /// Events to send once the status of the Service is written.
    unwritten: HashMap<ObjectKey, Vec<Notice>>,
}

impl WorkQueue {
    /// Adds a Service to the queue.
    pub(super) fn enqueue(&mut self, service: &ServiceView) {
        self.queue.insert((service.created, service.key.clone()));
    }

    /// Removes a Service from the queue. Returns whether it was there.
    pub(super) fn dequeue(&mut self, service: &ServiceView) -> bool {
        self.queue.remove(&(service.created, service.key.clone()))
    }

    /// Removes and returns the oldest Service whose status is not being written.
    pub(super) fn pop(&mut self) -> Option<ObjectKey> {
        let is_ready = |(_, key): &&(Option<Timestamp>, ObjectKey)| !self.in_flight.contains(key);
        let entry = self.queue.iter().find(is_ready).cloned()?;
        self.queue.remove(&entry);
        Some(entry.1)
    }

    /// How many Services wait to be planned.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Keeps events back until the status of the Service is written.
    pub(super) fn hold_back(&mut self, key: &ObjectKey, notices: Vec<Notice>) {
        self.unwritten.entry(key.clone()).or_default().extend(notices);
    }

    /// Records that the status of a Service is being written.
    pub(super) fn begin_write(&mut self, key: &ObjectKey) {
        self.in_flight.insert(key.clone());
    }

    /// Records that the API server has accepted a write.
    pub(super) fn end_write(&mut self, key: &ObjectKey) {
        self.in_flight.remove(key);
        self.failures.remove(key);
    }

    /// Counts a failed write. Returns how long to wait before [`Self::end_wait`].
    pub(super) fn count_failure(&mut self, key: &ObjectKey) -> Duration {
        let failures = self.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1);
        WRITE_BACKOFF.after(*failures)
    }

    /// Lets a Service be planned again after a failed write.
    pub(super) fn end_wait(&mut self, key: &ObjectKey) {
        self.in_flight.remove(key);
    }

    /// Records that the status of a Service is up to date. Returns the events held back for it.
    pub(super) fn finish(&mut self, key: &ObjectKey) -> Vec<Notice> {
        self.failures.remove(key);
        self.unwritten.remove(key).unwrap_or_default()
    }

    /// Forgets the failures and the events of a deleted Service. A write under way still ends.
    pub(super) fn forget(&mut self, key: &ObjectKey) {
        self.failures.remove(key);
        self.unwritten.remove(key);
    }
}
