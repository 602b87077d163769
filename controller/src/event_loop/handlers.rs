//! Reacts to one event.

use lodestone_controller_core::{ObjectNotice, ServiceView};
use lodestone_crds::ResourceChange;
use lodestone_runtime::{admin::Query, clock};

use super::{
    EventLoop, LoopEvent, STATUS_DELAY, STATUS_RETRY, event_content,
    watches::{self, WatchReport},
    writes::{self, Completion},
};
use crate::{debug_state::debug_state, webhook::ReviewRequest};

impl EventLoop {
    pub(super) fn handle_event(&mut self, event: LoopEvent) {
        match event {
            LoopEvent::LeadershipChanged => self.handle_leadership_changed(),
            LoopEvent::ServiceChanged(change) => self.handle_service_changed(change),
            LoopEvent::WatchReported(report) => self.handle_watch_report(report),
            LoopEvent::Completed(completion) => self.handle_completion(completion),
            LoopEvent::Queried(query) => self.answer(query),
            // `flush` sends the events.
            LoopEvent::EventsHaveRoom => {}
            LoopEvent::ReviewRequested(ReviewRequest { edit, answer }) => {
                // The client may have closed the connection.
                let _ = answer.send(self.reconciler.review(&edit));
            }
        }
    }

    fn handle_leadership_changed(&mut self) {
        let ended = self.leadership.map(|it| it.term);
        self.leadership = *self.election.borrow_and_update();
        let begun = self.leadership.map(|it| it.term);
        // One term may follow another at once: after a pause this loop learns only of the last one.
        if begun == ended {
            return;
        }
        // Everything that is running belongs to the previous term.
        self.running.clear();
        self.writes = 0;
        self.statuses_pending = false;
        self.reconciler.set_leader(false);
        if begun.is_some() {
            // A list that begins now contains the last writes of the previous leader.
            self.reconciler.begin_relist();
            self.services = watches::services(&self.client, &self.class);
            self.reconciler.set_leader(true);
        }
    }

    fn handle_service_changed(&mut self, change: ResourceChange<ServiceView>) {
        self.metrics.count_update();
        match &change {
            ResourceChange::Applied(service) => self.metrics.observe_service(service, clock::now()),
            ResourceChange::Gone(key) => self.metrics.forget_service(key),
            ResourceChange::Undecodable(..) | ResourceChange::Synced => {}
        }
        self.reconciler.handle_service(change);
    }

    fn handle_watch_report(&mut self, report: WatchReport) {
        self.metrics.count_update();
        match report {
            WatchReport::Namespace(change) => self.reconciler.handle_namespace(change),
            WatchReport::Pool(change) => self.reconciler.handle_pool(change),
            WatchReport::L2Advertisement(change) => self.reconciler.handle_l2_advertisement(change),
            WatchReport::ConfigurationState(change) => self.reconciler.handle_configuration_state(change),
        }
    }

    fn handle_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Written(view) => {
                self.writes -= 1;
                self.metrics.observe_write(&view, clock::now());
                self.reconciler.handle_write_succeeded(*view);
            }
            Completion::WriteFailed(key, error) => {
                self.writes -= 1;
                self.metrics.count_write_failure();
                let wait = self.reconciler.handle_write_failed(&key);
                writes::log_failure(&key, &error, wait);
                self.run_after(wait, Completion::RetryDue(key));
            }
            Completion::RetryDue(key) => self.reconciler.handle_retry_due(&key),
            // The Lease may have run out only for now. The statuses stay due until this replica
            // learns that it is a standby.
            Completion::StatusesDue if !self.is_leader_now() => self.run_after(STATUS_DELAY, Completion::StatusesDue),
            Completion::StatusesDue => self.start_status_writes(),
            Completion::StatusesWritten { events, is_complete } => self.handle_statuses_written(events, is_complete),
        }
    }

    fn handle_statuses_written(&mut self, events: Vec<ObjectNotice>, is_complete: bool) {
        for event in events {
            if self.reconciler.note_if_new(&event) {
                self.events
                    .send(event.object, "Configure", &event_content(&event.notice));
            }
        }
        if !is_complete {
            self.run_after(STATUS_RETRY, Completion::StatusesDue);
        }
        self.statuses_pending = !is_complete;
    }

    fn answer(&self, query: Query) {
        // The client may have closed the connection.
        match query {
            Query::State(answer) => {
                let _ = answer.send(debug_state(&self.reconciler));
            }
            Query::Metrics(answer) => {
                let _ = answer.send(self.metrics.encode(&self.reconciler));
            }
        }
    }
}
