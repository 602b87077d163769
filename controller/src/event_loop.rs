//! The task that owns the controller's state. It waits for the next event, hands it to the
//! [`Reconciler`], and starts the writes that the reconciler asks for.
//!
//! Writes run in the background, up to [`IN_FLIGHT`] at once. Each ends as an event of this loop.

mod watches;
mod writes;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Shared},
    stream::{BoxStream, FuturesUnordered, SelectAll},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use lodestone_controller_core::{Notice, ObjectNotice, Reconciler, ResourceChange, ServiceView};
use lodestone_daemon::{
    admin::Question,
    clock,
    events::{Events, Note},
    readiness::Gate,
};
use tokio::sync::{mpsc, watch};

use crate::{debug_state::debug_state, metrics::Metrics, webhook::ReviewRequest};
use watches::WatchReport;
use writes::Completion;

/// How many statuses of Services are written at once.
const IN_FLIGHT: usize = 64;

/// How many events may wait to be sent. The oldest are dropped beyond that.
const MAX_UNSENT: usize = 20_000;

/// How long the statuses of configuration objects wait for further changes before they are written.
const STATUS_DELAY: Duration = Duration::from_millis(500);

/// How long to wait before statuses of configuration objects that could not be written are retried.
const STATUS_RETRY: Duration = Duration::from_secs(5);

/// The owner of the ConfigurationState, once it has been looked up.
pub type OwnerLookup = Shared<BoxFuture<'static, Option<OwnerReference>>>;

/// What an [`EventLoop`] works with.
pub struct Connections {
    /// The connection to the API server.
    pub client: Client,
    /// The namespace of all configuration.
    pub namespace: String,
    /// The loadBalancerClass of this controller.
    pub class: String,
    /// The sender of Kubernetes events.
    pub events: Events,
    /// Requests for `/debug/state` and `/metrics`.
    pub questions: mpsc::Receiver<Question>,
    /// Edits for the webhook to review.
    pub reviews: mpsc::Receiver<ReviewRequest>,
    /// The owner of the ConfigurationState.
    pub owner: OwnerLookup,
    /// Opened once all watches have synced.
    pub ready: Gate,
    /// Until when this replica is leader; `None` while it is a standby.
    pub leader_until: watch::Receiver<Option<Instant>>,
}

/// The task that owns the controller's state.
pub struct EventLoop {
    client: Client,
    namespace: String,
    class: String,
    owner: OwnerLookup,
    events: Events,
    questions: mpsc::Receiver<Question>,
    reviews: mpsc::Receiver<ReviewRequest>,
    leadership: watch::Receiver<Option<Instant>>,
    services: BoxStream<'static, ResourceChange<ServiceView>>,
    watches: SelectAll<BoxStream<'static, WatchReport>>,
    /// Writes and waits that have not ended.
    running: FuturesUnordered<BoxFuture<'static, Completion>>,
    reconciler: Reconciler,
    metrics: Metrics,
    /// Until when this replica is leader, as far as this loop knows.
    leader_until: Option<Instant>,
    /// How many of the running tasks write the status of a Service.
    writes: usize,
    /// Whether statuses of configuration objects are due or being written.
    statuses_pending: bool,
    /// Events to send.
    unsent: VecDeque<ObjectNotice>,
    /// Taken when all watches have synced.
    ready: Option<Gate>,
}

/// What the loop reacts to.
#[expect(clippy::large_enum_variant, reason = "an event is handled at once and never stored")]
enum LoopEvent {
    LeadershipChanged,
    ServiceChanged(ResourceChange<ServiceView>),
    WatchReported(WatchReport),
    Completed(Completion),
    Asked(Question),
    EventsHaveRoom,
    ReviewRequested(ReviewRequest),
}

impl EventLoop {
    /// Prepares the loop. The watches begin when [`Self::run`] is called.
    #[must_use]
    pub fn new(connections: Connections, reconciler: Reconciler) -> Self {
        let Connections {
            client,
            namespace,
            class,
            events,
            questions,
            reviews,
            owner,
            ready,
            leader_until,
        } = connections;
        Self {
            services: watches::delayed_services(&client, &class),
            watches: watches::others(&client, &namespace),
            client,
            namespace,
            class,
            owner,
            events,
            questions,
            reviews,
            leadership: leader_until,
            running: FuturesUnordered::new(),
            reconciler,
            metrics: Metrics::default(),
            leader_until: None,
            writes: 0,
            statuses_pending: false,
            unsent: VecDeque::new(),
            ready: Some(ready),
        }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        loop {
            let event = self.next_event().await;
            self.handle(event);
            self.flush();
        }
    }

    async fn next_event(&mut self) -> LoopEvent {
        let events_wait = self.may_start_write() && !self.unsent.is_empty();
        tokio::select! {
            // Leadership comes first: a process that was paused may no longer be leader.
            biased;
            Ok(()) = self.leadership.changed() => LoopEvent::LeadershipChanged,
            Some(change) = self.services.next() => LoopEvent::ServiceChanged(change),
            Some(report) = self.watches.next() => LoopEvent::WatchReported(report),
            Some(completion) = self.running.next() => LoopEvent::Completed(completion),
            Some(question) = self.questions.recv() => LoopEvent::Asked(question),
            () = self.events.room(), if events_wait => LoopEvent::EventsHaveRoom,
            Some(review) = self.reviews.recv() => LoopEvent::ReviewRequested(review),
        }
    }

    fn handle(&mut self, event: LoopEvent) {
        match event {
            LoopEvent::LeadershipChanged => self.on_leadership_changed(),
            LoopEvent::ServiceChanged(change) => self.on_service_changed(change),
            LoopEvent::WatchReported(report) => self.on_watch_report(report),
            LoopEvent::Completed(completion) => self.on_completion(completion),
            LoopEvent::Asked(question) => self.answer(question),
            // `flush` sends the events.
            LoopEvent::EventsHaveRoom => {}
            LoopEvent::ReviewRequested(ReviewRequest { edit, answer }) => {
                // The client may have closed the connection.
                let _ = answer.send(self.reconciler.review(&edit));
            }
        }
    }

    fn on_leadership_changed(&mut self) {
        let was_leader = self.leader_until.is_some();
        self.leader_until = *self.leadership.borrow_and_update();
        let is_leader = self.leader_until.is_some();
        if is_leader == was_leader {
            return;
        }
        // Everything that is running belongs to the previous term.
        self.running.clear();
        self.writes = 0;
        self.statuses_pending = false;
        self.reconciler.set_leader(false);
        if is_leader {
            // A list that begins now contains the last writes of the previous leader.
            self.reconciler.begin_relist();
            self.services = watches::services(&self.client, &self.class);
            self.reconciler.set_leader(true);
        }
    }

    fn on_service_changed(&mut self, change: ResourceChange<ServiceView>) {
        self.metrics.count_update();
        match &change {
            ResourceChange::Applied(service) => self.metrics.observe_service(service, clock::now()),
            ResourceChange::Gone(key) => self.metrics.forget_service(key),
            ResourceChange::Undecodable(..) | ResourceChange::Synced => {}
        }
        self.reconciler.on_service(change);
    }

    fn on_watch_report(&mut self, report: WatchReport) {
        self.metrics.count_update();
        match report {
            WatchReport::Namespace(change) => self.reconciler.on_namespace(change),
            WatchReport::Pool(change) => self.reconciler.on_pool(change),
            WatchReport::L2Advertisement(change) => self.reconciler.on_l2_advertisement(change),
            WatchReport::ConfigurationState(change) => self.reconciler.on_configuration_state(change),
        }
    }

    fn on_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Written(view) => {
                self.writes -= 1;
                self.metrics.observe_write(&view, clock::now());
                self.reconciler.on_write_succeeded(*view);
            }
            Completion::WriteFailed(key, error) => {
                self.writes -= 1;
                self.metrics.count_write_failure();
                let wait = self.reconciler.on_write_failed(&key);
                writes::log_failure(&key, &error, wait);
                self.run_after(wait, Completion::RetryDue(key));
            }
            Completion::RetryDue(key) => self.reconciler.on_retry_due(&key),
            // The Lease may have run out only for now. The statuses stay due until this replica
            // learns that it is a standby.
            Completion::StatusesDue if !self.is_leader_now() => self.run_after(STATUS_DELAY, Completion::StatusesDue),
            Completion::StatusesDue => self.start_status_writes(),
            Completion::StatusesWritten { events, is_complete } => self.on_statuses_written(events, is_complete),
        }
    }

    fn on_statuses_written(&mut self, events: Vec<ObjectNotice>, is_complete: bool) {
        for event in events {
            if self.reconciler.note_if_new(&event) {
                self.events.send(event.object, "Configure", &note(&event.notice));
            }
        }
        if !is_complete {
            self.run_after(STATUS_RETRY, Completion::StatusesDue);
        }
        self.statuses_pending = !is_complete;
    }

    fn answer(&self, question: Question) {
        // The client may have closed the connection.
        match question {
            Question::State(answer) => {
                let _ = answer.send(debug_state(&self.reconciler));
            }
            Question::Metrics(answer) => {
                let _ = answer.send(self.metrics.encode(&self.reconciler));
            }
        }
    }

    /// Starts everything that the last event made possible.
    fn flush(&mut self) {
        while self.may_start_write()
            && self.is_leader_now()
            && let Some(job) = self.reconciler.pop_job()
        {
            self.writes += 1;
            let write = writes::write_service(self.client.clone(), self.class.clone(), job);
            self.running.push(write.boxed());
        }
        self.send_events();
        if !self.statuses_pending && self.reconciler.take_statuses_outdated() {
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
        self.unsent.extend(self.reconciler.take_events());
        // A flood of events must not fill the memory.
        let too_many = self.unsent.len().saturating_sub(MAX_UNSENT);
        self.unsent.drain(..too_many);
        // Addresses come first: while writes wait, the API server has no time for events.
        while self.may_start_write()
            && self.events.capacity() > 0
            && let Some(event) = self.unsent.pop_front()
        {
            self.events.send(event.object, "Allocate", &note(&event.notice));
        }
    }

    fn start_status_writes(&self) {
        let outdated = crate::status::desired::outdated(&self.reconciler, clock::wall());
        let (client, namespace) = (self.client.clone(), self.namespace.clone());
        let write = writes::write_statuses(client, namespace, self.owner.clone(), outdated);
        self.running.push(write.boxed());
    }

    fn run_after(&self, wait: Duration, completion: Completion) {
        let wait = tokio::time::sleep(wait).map(|()| completion);
        self.running.push(wait.boxed());
    }

    const fn may_start_write(&self) -> bool {
        self.writes < IN_FLIGHT
    }

    /// Whether this replica is leader at this moment. The Lease may have run out before the loop
    /// learns of it.
    fn is_leader_now(&self) -> bool {
        self.leader_until.is_some_and(|until| clock::now() < until)
    }
}

fn note(notice: &Notice) -> Note {
    Note {
        warning: notice.reason.is_warning(),
        reason: notice.reason.as_str(),
        text: notice.text.clone(),
    }
}
