//! The ServiceL2Status objects of several speakers, which also clean up after each other. In the
//! end there is one for each node that announces an address of a Service.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    client::{Body, ClientBuilder},
};
use lodestone_crds::{NODE_LABEL, ObjectKey, ServiceL2Status};
use lodestone_runtime::{
    k8s::events::Events,
    task::{Task, spawn},
};
use lodestone_speaker::kubernetes::service_l2_status::Reporter;
use lodestone_speaker_core::{NodeName, OwnedAddress};
use lodestone_tests::NAMESPACE;
use serde_json::json;
use tokio::{sync::watch, time::sleep};
use tower::{Layer, Service};

use super::{block_on, cluster, config};

/// The pause between two reads of the objects.
const PAUSE: Duration = Duration::from_millis(250);

/// How many reads a test waits for a change.
const PATIENCE: usize = 240;

/// Deletes an object between the two writes that create it (the object, then its status), a limited
/// number of times.
#[derive(Clone)]
struct Deleter {
    client: Client,
    /// How many deletions are left.
    left: Arc<AtomicU32>,
}

#[derive(Clone)]
struct DeletingService<S>(S, Deleter);

impl<S> Layer<S> for Deleter {
    type Service = DeletingService<S>;

    fn layer(&self, inner: S) -> DeletingService<S> {
        DeletingService(inner, self.clone())
    }
}

impl<S> Service<Request<Body>> for DeletingService<S>
where
    S: Service<Request<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let name = path
            .strip_suffix("/status")
            .filter(|_| *request.method() == Method::PATCH)
            .and_then(|path| path.rsplit('/').next())
            .map(str::to_owned);
        let deleter = self.1.clone();
        // The request is sent when the future is polled.
        let answer = self.0.call(request);
        Box::pin(async move {
            let left = |left: u32| left.checked_sub(1);
            if let Some(name) = name
                && deleter
                    .left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
                    .is_ok()
            {
                let statuses: Api<ServiceL2Status> = Api::namespaced(deleter.client, NAMESPACE);
                statuses.delete(&name, &DeleteParams::default()).await.unwrap();
            }
            answer.await
        })
    }
}

/// A running status reporter of a speaker. It ends when this is dropped.
struct RunningReporter {
    _tasks: [Task; 2],
    _owned: watch::Sender<Option<Vec<OwnedAddress>>>,
}

/// Starts the reporter of node `name`, which announces `address` of `service`. The nodes
/// `co_owners` announce other addresses of it.
fn report(client: &Client, name: &str, service: &str, address: &str, co_owners: &[&str]) -> RunningReporter {
    let (events, sending) = Events::start(client.clone(), "test", None);
    let reporter = Reporter {
        client: client.clone(),
        namespace: NAMESPACE.to_owned(),
        node: NodeName::from(name),
        pod: None,
        events,
        uids: watch::channel(BTreeMap::new()).1,
    };
    let (sender, owned) = watch::channel(None);
    let reporting = spawn(reporter.run(owned));
    sender.send_replace(Some(vec![OwnedAddress {
        address: address.parse().unwrap(),
        services: vec![ObjectKey::new("default", service)],
        interfaces: None,
        co_owners: co_owners.iter().map(|node| NodeName::from(*node)).collect(),
    }]));
    RunningReporter {
        _tasks: [sending, reporting],
        _owned: sender,
    }
}

/// Waits until the statuses name exactly these nodes.
async fn wait_for_nodes(statuses: &Api<ServiceL2Status>, wanted: &[&str]) {
    let wanted: BTreeSet<String> = wanted.iter().map(|node| (*node).to_owned()).collect();
    let mut nodes = BTreeSet::new();
    for _ in 0..PATIENCE {
        let objects = statuses.list(&Default::default()).await.unwrap();
        nodes = objects.into_iter().filter_map(|object| object.status?.node).collect();
        if nodes == wanted {
            return;
        }
        sleep(PAUSE).await;
    }
    panic!("the statuses name {nodes:?}, not {wanted:?}");
}

async fn delete_all(statuses: &Api<ServiceL2Status>) {
    let all = Default::default();
    statuses
        .delete_collection(&DeleteParams::default(), &all)
        .await
        .unwrap();
}

#[test]
fn status_deleted_while_it_is_written_is_restored() {
    let cluster = cluster();
    block_on(async {
        let config = config(&cluster).await;
        let client = Client::try_from(config.clone()).unwrap();
        let statuses: Api<ServiceL2Status> = Api::namespaced(client.clone(), NAMESPACE);
        let deleter = Deleter {
            client: client.clone(),
            left: Arc::new(AtomicU32::new(3)),
        };
        let disturbed = ClientBuilder::try_from(config).unwrap().with_layer(&deleter).build();
        let reporter = report(&disturbed, "w2", "both", "10.9.0.2", &[]);
        wait_for_nodes(&statuses, &["w2"]).await;
        assert_eq!(deleter.left.load(Ordering::SeqCst), 0);
        drop(reporter);
        delete_all(&statuses).await;
    });
}

#[test]
fn deleted_status_is_restored() {
    let cluster = cluster();
    block_on(async {
        let client = Client::try_from(config(&cluster).await).unwrap();
        let statuses: Api<ServiceL2Status> = Api::namespaced(client.clone(), NAMESPACE);
        let reporter = report(&client, "w2", "both", "10.9.0.2", &[]);
        for _ in 0..3 {
            wait_for_nodes(&statuses, &["w2"]).await;
            delete_all(&statuses).await;
        }
        wait_for_nodes(&statuses, &["w2"]).await;
        drop(reporter);
        delete_all(&statuses).await;
    });
}

#[test]
fn status_half_written_by_another_announcer_is_left_alone() {
    let cluster = cluster();
    block_on(async {
        let client = Client::try_from(config(&cluster).await).unwrap();
        let statuses: Api<ServiceL2Status> = Api::namespaced(client.clone(), NAMESPACE);
        let object = |name: &str, node: &str| {
            json!({
                "apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2Status",
                "metadata": {"name": name, "labels": {
                    NODE_LABEL: node, "metallb.io/service-name": "both", "metallb.io/service-namespace": "default",
                }},
            })
        };
        let parameters = PatchParams::apply("test").force();
        // w3 announces the other address and has not written its status yet. w1 no longer
        // announces.
        for (name, node) in [("half", "w3"), ("gone", "w1")] {
            let object = Patch::Apply(object(name, node));
            statuses.patch(name, &parameters, &object).await.unwrap();
        }
        let reporter = report(&client, "w2", "both", "10.9.0.2", &["w3"]);
        let mut names = Vec::new();
        for _ in 0..PATIENCE {
            let objects = statuses.list(&Default::default()).await.unwrap();
            names = objects.iter().map(ResourceExt::name_any).collect();
            // The reporter has cleaned up once the object of w1 is gone.
            if !names.iter().any(|name| name == "gone") {
                break;
            }
            sleep(PAUSE).await;
        }
        assert!(names.len() == 2 && names.iter().any(|name| name == "half"), "{names:?}");
        drop(reporter);
        delete_all(&statuses).await;
    });
}
