//! The task that owns the controller's state. It waits for the next event, hands it to the
//! [`Reconciler`], and starts the writes that the reconciler asks for.
//!
//! Writes run in the background, up to [`IN_FLIGHT`] at once. Each ends as an event of this loop.

mod flush;
mod handlers;
mod owner_lookup;
mod watches;
mod writes;

use std::{collections::VecDeque, fmt, time::Duration};

use futures::{
    StreamExt,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered, SelectAll},
};
use kube::Client;
use lodestone_controller_core::{Notice, ObjectNotice, Reconciler, ServiceView};
use lodestone_crds::ResourceChange;
use lodestone_runtime::{
    admin::Query,
    clock,
    k8s::{
        events::{EventContent, Events},
        lease::Leadership,
    },
    readiness::Gate,
};
use tokio::sync::{mpsc, watch};

use crate::{metrics::Metrics, webhook::ReviewRequest};
pub use owner_lookup::OwnerLookup;
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
    pub queries: mpsc::Receiver<Query>,
    /// Edits for the webhook to review.
    pub reviews: mpsc::Receiver<ReviewRequest>,
    /// The owner of the ConfigurationState.
    pub owner: OwnerLookup,
    /// Opened once all watches have synced.
    pub ready: Gate,
    /// The leadership of this replica; `None` while it is a standby.
    pub election: watch::Receiver<Option<Leadership>>,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("namespace", &self.namespace)
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}

/// The task that owns the controller's state.
pub struct EventLoop {
    client: Client,
    namespace: String,
    class: String,
    owner: OwnerLookup,
    events: Events,
    queries: mpsc::Receiver<Query>,
    reviews: mpsc::Receiver<ReviewRequest>,
    election: watch::Receiver<Option<Leadership>>,
    services: BoxStream<'static, ResourceChange<ServiceView>>,
    watches: SelectAll<BoxStream<'static, WatchReport>>,
    /// Writes and waits that have not ended.
    running: FuturesUnordered<BoxFuture<'static, Completion>>,
    reconciler: Reconciler,
    metrics: Metrics,
    /// The leadership of this replica, as far as this loop knows.
    leadership: Option<Leadership>,
    /// How many of the running tasks write the status of a Service.
    writes: usize,
    /// Whether statuses of configuration objects are due or being written.
    statuses_pending: bool,
    /// Events to send.
    unsent: VecDeque<ObjectNotice>,
    /// Taken when all watches have synced.
    ready: Option<Gate>,
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("namespace", &self.namespace)
            .field("class", &self.class)
            .field("leadership", &self.leadership)
            .finish_non_exhaustive()
    }
}

/// What the loop reacts to.
#[expect(clippy::large_enum_variant, reason = "an event is handled at once and never stored")]
enum LoopEvent {
    LeadershipChanged,
    ServiceChanged(ResourceChange<ServiceView>),
    WatchReported(WatchReport),
    Completed(Completion),
    Queried(Query),
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
            queries,
            reviews,
            owner,
            ready,
            election,
        } = connections;
        Self {
            services: watches::delayed_services(&client, &class),
            watches: watches::others(&client, &namespace),
            client,
            namespace,
            class,
            owner,
            events,
            queries,
            reviews,
            election,
            running: FuturesUnordered::new(),
            reconciler,
            metrics: Metrics::default(),
            leadership: None,
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
            self.handle_event(event);
            self.flush();
        }
    }

    async fn next_event(&mut self) -> LoopEvent {
        let events_wait = self.may_start_write() && !self.unsent.is_empty();
        tokio::select! {
            // Leadership comes first: a process that was paused may no longer be leader.
            biased;
            Ok(()) = self.election.changed() => LoopEvent::LeadershipChanged,
            Some(change) = self.services.next() => LoopEvent::ServiceChanged(change),
            Some(report) = self.watches.next() => LoopEvent::WatchReported(report),
            Some(completion) = self.running.next() => LoopEvent::Completed(completion),
            Some(query) = self.queries.recv() => LoopEvent::Queried(query),
            () = self.events.wait_for_room(), if events_wait => LoopEvent::EventsHaveRoom,
            Some(review) = self.reviews.recv() => LoopEvent::ReviewRequested(review),
        }
    }

    const fn may_start_write(&self) -> bool {
        self.writes < IN_FLIGHT
    }

    /// Whether this replica is leader at this moment. The Lease may have run out before the loop
    /// learns of it.
    fn is_leader_now(&self) -> bool {
        self.leadership.is_some_and(|it| clock::now() < it.until)
    }
}

/// The event in the form of the event sender.
fn event_content(notice: &Notice) -> EventContent {
    EventContent {
        warning: notice.reason.is_warning(),
        reason: notice.reason.as_str(),
        text: notice.text.clone(),
    }
}

#[cfg(test)]
mod tests;
