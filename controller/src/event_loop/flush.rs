//! Starts everything that the last event made possible: writes, events, statuses.

use std::time::Duration;

use futures::FutureExt;
use lodestone_runtime::clock;

use super::{
    EventLoop, MAX_UNSENT, STATUS_DELAY, event_content,
    writes::{self, Completion},
};
use crate::status::desired;

impl EventLoop {
    /// Starts everything that the last event made possible.
    pub(super) fn flush(&mut self) {
        while self.may_start_write()
            && self.is_leader_now()
            && let Some(job) = self.reconciler.poll_job()
        {
            self.writes += 1;
            let write = writes::write_service(self.client.clone(), self.class.clone(), job);
            self.running.push(write.boxed());
        }
        self.send_events();
        if !self.statuses_pending && self.reconciler.poll_statuses_outdated() {
            self.statuses_pending = true;
            self.run_after(STATUS_DELAY, Completion::StatusesDue);
        }
        if self.reconciler.is_synced()
            && let Some(gate) = self.ready.take()
        {
            gate.open();
        }
    }

    fn send_events(&mut self) {
        self.unsent.extend(self.reconciler.poll_events());
        // A flood of events must not fill the memory.
        let too_many = self.unsent.len().saturating_sub(MAX_UNSENT);
        self.unsent.drain(..too_many);
        // Addresses come first: while writes wait, the API server has no time for events.
        while self.may_start_write()
            && self.events.capacity() > 0
            && let Some(event) = self.unsent.pop_front()
        {
            self.events
                .send(event.object, "Allocate", &event_content(&event.notice));
        }
    }

    pub(super) fn start_status_writes(&self) {
        let outdated = desired::outdated(&self.reconciler, clock::wall());
        let (client, namespace) = (self.client.clone(), self.namespace.clone());
        let write = writes::write_statuses(client, namespace, self.owner.clone(), outdated);
        self.running.push(write.boxed());
    }

    pub(super) fn run_after(&self, wait: Duration, completion: Completion) {
        let wait = tokio::time::sleep(wait).map(|()| completion);
        self.running.push(wait.boxed());
    }
}
