//! The one task that owns all state of the controller. It waits for changes of the API server and for its own writes to end, tells
//! the [`Reconciler`], and starts what that wants to have written.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Shared},
    stream::{BoxStream, FuturesUnordered, SelectAll},
};
use k8s_openapi::{
    api::core::v1::{Namespace, ObjectReference},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Api, Client, ResourceExt, runtime::watcher};
use lodestone_crds::{ConfigurationState, IPAddressPool, L2Advertisement, Labels};
use lodestone_daemon::{
    ObjectKey,
    admin::Question,
    clock,
    events::{Events, Note},
    guarded::Guarded,
    readiness::Gate,
    service::Service,
    watch::{Change, changes},
};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::{
    metrics::Metrics,
    reconciler::{Job, Reconciler},
    service_view::ServiceView,
    status,
    webhook::server::Review,
};

/// How many statuses are written at one time.
const IN_FLIGHT: usize = 64;

/// How many events may wait.
const UNTOLD: usize = 20_000;

/// How long the statuses of pools and of other configuration wait for more to change.
const STATUS_DELAY: Duration = Duration::from_millis(500);

/// How long the first list of Services waits for the word on the Lease: whoever gets it reads them anew.
const LEASE_WAIT: Duration = Duration::from_secs(1);

/// What the ConfigurationState belongs to, when it is known.
pub type Owner = Shared<BoxFuture<'static, Option<OwnerReference>>>;

/// What the controller works with.
pub struct EventLoop {
    /// The API server.
    pub client: Client,
    /// The namespace of all configuration.
    pub namespace: String,
    /// The flag `--lb-class`.
    pub class: String,
    /// Where events go.
    pub events: Events,
    /// Questions for `/debug/state`.
    pub questions: mpsc::Receiver<Question>,
    /// Edits to be reviewed for the webhook.
    pub reviews: mpsc::Receiver<Review>,
    /// What the ConfigurationState belongs to.
    pub owner: Owner,
    /// Opened when all watches have told everything.
    pub ready: Gate,
    /// Until when this replica is the one that works, if it is.
    pub leads: watch::Receiver<Option<Instant>>,
}

/// What the API server told.
enum Told {
    Namespace(Change<(String, Labels)>),
    Pool(Change<IPAddressPool>),
    L2Advertisement(Change<L2Advertisement>),
    State(Change<ConfigurationState>),
}

/// What became of something that was started.
enum Done {
    Written(Box<ServiceView>),
    Failed(ObjectKey, kube::Error),
    Retry(ObjectKey),
    StatusesDue,
    StatusesWritten(Vec<(ObjectReference, Note)>, bool),
}

impl EventLoop {
    /// Works until it is dropped.
    pub async fn run(self, mut core: Reconciler) {
        let Self {
            client,
            namespace,
            class,
            events,
            mut questions,
            mut reviews,
            owner,
            ready,
            mut leads,
        } = self;
        let mut metrics = Metrics::default();
        let mut untold: VecDeque<(ObjectReference, Note)> = VecDeque::new();
        let mut told = watches(&client, &namespace);
        let mut services = later(services(&client, &class));
        let mut leads_until: Option<Instant> = None;
        let mut running: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
        let (mut writes, mut statuses_pending, mut ready) = (0, false, Some(ready));
        loop {
            tokio::select! {
                // First of all: whoever was stopped for a while may not be the one that works any more.
                biased;
                Ok(()) = leads.changed() => {
                    let led = leads_until.is_some();
                    leads_until = *leads.borrow_and_update();
                    if leads_until.is_some() != led {
                        // Whatever was under way belongs to what was.
                        running.clear();
                        (writes, statuses_pending) = (0, false);
                        core.lead(false);
                    }
                    if leads_until.is_some() && !led {
                        // What the replica before this one has written last is in what is read from here on.
                        core.services_anew();
                        services = self::services(&client, &class);
                        core.lead(true);
                    }
                }
                Some(change) = services.next() => {
                    metrics.told();
                    match &change {
                        Change::Applied(service) => metrics.service(service, clock::now()),
                        Change::Gone(key) => metrics.gone(key),
                        Change::Undecodable(..) | Change::Synced => {}
                    }
                    core.service(change);
                }
                Some(told) = told.next() => {
                    metrics.told();
                    match told {
                        Told::Namespace(change) => core.namespace(change),
                        Told::Pool(change) => core.pool(change),
                        Told::L2Advertisement(change) => core.l2_advertisement(change),
                        Told::State(change) => core.configuration_state(change),
                    }
                }
                Some(done) = running.next() => match done {
                    Done::Written(view) => {
                        writes -= 1;
                        metrics.written(&view, clock::now());
                        core.written(*view);
                    }
                    Done::Failed(key, error) => {
                        writes -= 1;
                        metrics.failed();
                        let wait = core.failed(&key);
                        tell_failure(&key, &error, wait);
                        running.push(tokio::time::sleep(wait).map(move |()| Done::Retry(key)).boxed());
                    }
                    Done::Retry(key) => core.retry(&key),
                    // Its time may be over only for now: what is due stays so until this replica is told that it no longer works.
                    Done::StatusesDue if !may_write(leads_until) => {
                        running.push(tokio::time::sleep(STATUS_DELAY).map(|()| Done::StatusesDue).boxed());
                    }
                    Done::StatusesDue => {
                        running.push(write_statuses(client.clone(), namespace.clone(), owner.clone(), &core).boxed());
                    }
                    Done::StatusesWritten(notes, all) => {
                        for (object, note) in notes {
                            // While the watch lags behind, the same may be written more than once.
                            if core.is_news(&object, &note) {
                                events.send(object, "Configure", &note);
                            }
                        }
                        // What could not be written is due again.
                        if !all {
                            running.push(tokio::time::sleep(STATUS_DELAY * 10).map(|()| Done::StatusesDue).boxed());
                        }
                        statuses_pending = !all;
                    }
                },
                Some(question) = questions.recv() => {
                    // Whoever asked may have gone.
                    match question {
                        Question::State(answer) => { let _ = answer.send(debug_state(&core)); }
                        Question::Metrics(answer) => { let _ = answer.send(metrics.text(&core)); }
                    }
                }
                () = events.room(), if writes < IN_FLIGHT && !untold.is_empty() => {}
                Some(Review { edit, answer }) = reviews.recv() => {
                    let _ = answer.send(core.review(&edit));
                }
            }
            while writes < IN_FLIGHT
                && may_write(leads_until)
                && let Some(job) = core.next_job()
            {
                writes += 1;
                running.push(write(client.clone(), class.clone(), job).boxed());
            }
            untold.extend(core.take_notes());
            // An event is a courtesy: whoever makes more of them than can be sent does not fill the memory.
            let too_many = untold.len().saturating_sub(UNTOLD);
            untold.drain(..too_many);
            // Addresses first: while there is more to be written than can be, the API server has no time for events.
            while writes < IN_FLIGHT
                && events.capacity() > 0
                && let Some((object, note)) = untold.pop_front()
            {
                events.send(object, "Allocate", &note);
            }
            if !statuses_pending && core.take_objects_changed() {
                statuses_pending = true;
                running.push(tokio::time::sleep(STATUS_DELAY).map(|()| Done::StatusesDue).boxed());
            }
            if core.is_synced()
                && let Some(gate) = ready.take()
            {
                gate.open();
            }
        }
    }
}

/// Whether this replica is the one that works at this moment, whatever it was told and when.
fn may_write(leads_until: Option<Instant>) -> bool {
    leads_until.is_some_and(|until| clock::now() < until)
}

fn services(client: &Client, class: &str) -> BoxStream<'static, Change<ServiceView>> {
    let class: Arc<str> = class.into();
    changes(Api::<Guarded<Service>>::all(client.clone()), watcher::Config::default())
        .map(move |change| change.map(|service| ServiceView::new(&service, &class)))
        .boxed()
}

/// The same, begun after [`LEASE_WAIT`].
fn later(services: BoxStream<'static, Change<ServiceView>>) -> BoxStream<'static, Change<ServiceView>> {
    tokio::time::sleep(LEASE_WAIT)
        .map(|()| services)
        .flatten_stream()
        .boxed()
}

fn watches(client: &Client, namespace: &str) -> SelectAll<BoxStream<'static, Told>> {
    let config = watcher::Config::default;
    let namespaces = changes(Api::<Guarded<Namespace>>::all(client.clone()), config())
        .map(|change| Told::Namespace(change.map(|namespace| (namespace.name_any(), namespace.labels().clone()))));
    let pools = changes(
        Api::<Guarded<IPAddressPool>>::namespaced(client.clone(), namespace),
        config(),
    );
    let ads = changes(
        Api::<Guarded<L2Advertisement>>::namespaced(client.clone(), namespace),
        config(),
    );
    let states = changes(
        Api::<Guarded<ConfigurationState>>::namespaced(client.clone(), namespace),
        config().fields(&format!("metadata.name={}", status::desired::STATE_NAME)),
    );
    let mut all = SelectAll::new();
    all.push(namespaces.boxed());
    all.push(pools.map(Told::Pool).boxed());
    all.push(ads.map(Told::L2Advertisement).boxed());
    all.push(states.map(Told::State).boxed());
    all
}

async fn write(client: Client, class: String, job: Job) -> Done {
    match status::service::write(&client, &job).await {
        Ok(service) => Done::Written(Box::new(ServiceView::new(&service, &class))),
        Err(error) => Done::Failed(job.key, error),
    }
}

fn tell_failure(key: &ObjectKey, error: &kube::Error, wait: Duration) {
    match error {
        // Somebody changed the Service meanwhile, or deleted it: the watch says how.
        kube::Error::Api(status) if status.is_conflict() || status.is_not_found() => {
            tracing::debug!(service = %key, %error, "the Service has changed meanwhile");
        }
        _ => tracing::warn!(service = %key, %error, ?wait, "the status could not be written; trying again"),
    }
}

fn write_statuses(
    client: Client,
    namespace: String,
    owner: Owner,
    core: &Reconciler,
) -> impl Future<Output = Done> + use<> {
    let outdated = status::desired::outdated(core, clock::wall());
    async move {
        let (mut all, mut notes) = (true, Vec::new());
        let owner = owner.await;
        for wanted in outdated {
            match status::desired::write(&client, &namespace, owner.as_ref(), &wanted).await {
                Ok(()) => notes.extend(wanted.note),
                Err(error) => {
                    let (target, name) = (wanted.target, wanted.name);
                    tracing::warn!(?target, name, %error, "the status could not be written; trying again");
                    all = false;
                }
            }
        }
        Done::StatusesWritten(notes, all)
    }
}

fn debug_state(core: &Reconciler) -> serde_json::Value {
    let addresses: serde_json::Map<_, _> = core
        .allocator()
        .in_use()
        .map(|(address, holders)| (address.to_string(), holders.map(ToString::to_string).collect()))
        .collect();
    let problems: serde_json::Map<_, _> = core
        .problems()
        .iter()
        .map(|(key, note)| (key.to_string(), note.text.clone().into()))
        .collect();
    json!({
        "addresses": addresses,
        "pools": core.config().pools.keys().collect::<Vec<_>>(),
        "refused": core.config().refused.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "problems": problems,
        "retained": core.retained().iter().map(|(key, pool)| (key.to_string(), pool)).collect::<BTreeMap<_, _>>(),
        "works": core.works(),
        "queue": core.queue_length(),
    })
}
