//! Plans Services one after the other, and applies the plans.

use k8s_openapi::api::core::v1::ObjectReference;
use lodestone_crds::ObjectKey;

use super::{Job, Reconciler};
use crate::{
    notice::{Notice, ObjectNotice},
    plan::{PlanInput, plan},
};

impl Reconciler {
    /// Returns the next status to write, if there is one. Nothing is planned before every address
    /// in use is adopted.
    pub fn poll_job(&mut self) -> Option<Job> {
        if !self.has_adopted {
            return None;
        }
        loop {
            let key = self.work.pop()?;
            if let Some(job) = self.plan_service(&key) {
                self.work.begin_write(&key);
                return Some(job);
            }
        }
    }

    fn plan_service(&mut self, key: &ObjectKey) -> Option<Job> {
        let service = self.services.get(key)?;
        // The labels of the namespace decide which pools serve the Service. They arrive shortly.
        let namespace_labels = self.namespaces.get(key.namespace())?;
        let input = PlanInput {
            service,
            namespace_labels,
            config: self.configuration.config(),
            on_pool_change: self.on_pool_change,
        };
        let plan = plan(input, &self.allocator);
        let reference = service.reference();
        let job = plan.write.map(|status| Job {
            key: key.clone(),
            resource_version: service.resource_version.clone(),
            status,
            conditions: service.conditions.clone(),
        });
        for event in &plan.events {
            tracing::info!(service = %key, reason = event.reason.as_str(), "{}", event.text);
        }
        self.work.hold_back(key, plan.events);
        self.set_problem(key, &reference, plan.problem);
        self.set_retained(key, plan.retained);
        if let Some(assignment) = plan.allocate {
            let before = self.allocator.holder(key).cloned();
            if self.allocator.held(key) != assignment.addresses {
                self.configuration.mark_statuses_outdated();
            }
            self.allocator.apply(key, &assignment);
            // With its new key, policy or ports, other Services may be able to share now.
            if before.is_some() && before.as_ref() != self.allocator.holder(key) {
                self.wake_waiting();
            }
        }
        if job.is_some() {
            self.configuration.mark_statuses_outdated();
        } else {
            self.finish_write(key, &reference);
        }
        job
    }

    /// Records what does not work. An event is sent when that changes, not each time it is planned.
    fn set_problem(&mut self, key: &ObjectKey, reference: &ObjectReference, problem: Option<Notice>) {
        let Some(problem) = problem else {
            self.problems.remove(key);
            return;
        };
        if self.problems.get(key) != Some(&problem) {
            tracing::warn!(service = %key, reason = problem.reason.as_str(), "{}", problem.text);
            self.events.push(ObjectNotice {
                object: reference.clone(),
                notice: problem.clone(),
            });
            self.problems.insert(key.clone(), problem);
        }
    }

    fn set_retained(&mut self, key: &ObjectKey, pool: Option<String>) {
        let is_changed = match pool {
            Some(pool) => self.retained.insert(key.clone(), pool.clone()) != Some(pool),
            None => self.retained.remove(key).is_some(),
        };
        if is_changed {
            self.configuration.mark_statuses_outdated();
        }
    }

    /// Sends the events of a Service and frees what it released: its status is up to date.
    pub(super) fn finish_write(&mut self, key: &ObjectKey, reference: &ObjectReference) {
        let notices = self.work.finish(key);
        self.events.extend(notices.into_iter().map(|notice| ObjectNotice {
            object: reference.clone(),
            notice,
        }));
        if !self.allocator.finish_release(key).is_empty() {
            self.configuration.mark_statuses_outdated();
            self.wake_waiting();
        }
    }
}
