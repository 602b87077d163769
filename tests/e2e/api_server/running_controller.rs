//! A controller in the process of the test.

use std::time::Instant;

use futures::{FutureExt, future::ready};
use kube::Client;
use lodestone_controller::{Connections, EventLoop, ReviewRequest};
use lodestone_controller_core::{OnPoolChange, Reconciler};
use lodestone_runtime::{
    clock,
    k8s::{events::Events, lease::Leadership},
    readiness::Readiness,
    task::{Task, spawn},
};
use lodestone_tests::NAMESPACE;
use tokio::sync::{mpsc, watch};

/// A controller in this process. Dropping it is like killing a process.
pub(super) struct RunningController {
    _tasks: [Task; 2],
    leadership: watch::Sender<Option<Leadership>>,
    _reviews: mpsc::Sender<ReviewRequest>,
}

impl RunningController {
    /// Makes its Lease last until this time. A new term begins if the Lease has expired, as in
    /// `lease::Elector`.
    pub(super) fn lead_until(&self, until: Instant) {
        self.leadership.send_modify(|leadership| {
            let continued = leadership.filter(|it| clock::now() < it.until);
            let term = continued.map_or_else(|| leadership.map_or(1, |it| it.term + 1), |it| it.term);
            *leadership = Some(Leadership { term, until });
        });
    }
}

/// Starts a controller whose Lease lasts until this time.
pub(super) fn start(client: &Client, until: Instant) -> RunningController {
    let (leadership, election) = watch::channel(None);
    let (queries, queries_received) = mpsc::channel(1);
    let (reviews, reviews_received) = mpsc::channel(1);
    let (events, sender) = Events::start(client.clone(), "lodestone-controller", None);
    let connections = Connections {
        client: client.clone(),
        namespace: NAMESPACE.to_owned(),
        class: String::new(),
        events,
        queries: queries_received,
        reviews: reviews_received,
        owner: ready(None).boxed().shared(),
        ready: Readiness::default().gate("everything"),
        election,
    };
    let task = spawn(async move {
        // Keeps the channel open, on which no query arrives.
        let _queries = queries;
        EventLoop::new(connections, Reconciler::new(OnPoolChange::Retain))
            .run()
            .await;
    });
    let running = RunningController {
        _tasks: [task, sender],
        leadership,
        _reviews: reviews,
    };
    running.lead_until(until);
    running
}
