//! What a speaker tells of its Services while other speakers clean up after each other: whoever announces is named in the end, for each
//! address of a Service.

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
use lodestone_speaker::{cluster::status::Reporter, core::Owned, wire::message::NodeName};
use lodestone_tests::NAMESPACE;
use serde_json::json;
use tokio::{sync::watch, time::sleep};
use tower::{Layer, Service};

use super::{block_on, cluster, config};

/// How often it is looked, a quarter of a second each.
const PATIENCE: usize = 240;

/// Somebody who deletes an object so many times between the two writes that make it: of the object, and of its status.
#[derive(Clone)]
struct Deleter {
    client: Client,
    times: Arc<AtomicU32>,
}

#[derive(Clone)]
struct Deleting<S>(S, Deleter);

impl<S> Layer<S> for Deleter {
    type Service = Deleting<S>;

    fn layer(&self, inner: S) -> Deleting<S> {
        Deleting(inner, self.clone())
    }
}

impl<S> Service<Request<Body>> for Deleting<S>
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
        // Nothing is sent before it is waited for.
        let answer = self.0.call(request);
        Box::pin(async move {
            let left = |left: u32| left.checked_sub(1);
            if let Some(name) = name
                && deleter
                    .times
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

/// A node that announces an address of `service`, while others announce others; it ends when this is dropped.
struct Node {
    _tasks: [Task; 2],
    _owned: watch::Sender<Option<Vec<Owned>>>,
}

fn node(client: &Client, name: &str, service: &str, address: &str, beside: &[&str]) -> Node {
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
    sender.send_replace(Some(vec![Owned {
        address: address.parse().unwrap(),
        services: vec![ObjectKey::new("default", service)],
        interfaces: None,
        beside: beside.iter().map(|node| NodeName::from(*node)).collect(),
    }]));
    Node {
        _tasks: [sending, reporting],
        _owned: sender,
    }
}

/// Waits until exactly these nodes are named.
async fn named(statuses: &Api<ServiceL2Status>, wanted: &[&str]) {
    let wanted: BTreeSet<String> = wanted.iter().map(|node| (*node).to_owned()).collect();
    let mut nodes = BTreeSet::new();
    for _ in 0..PATIENCE {
        let objects = statuses.list(&Default::default()).await.unwrap();
        nodes = objects.into_iter().filter_map(|object| object.status?.node).collect();
        if nodes == wanted {
            return;
        }
        sleep(Duration::from_millis(250)).await;
    }
    panic!("{nodes:?}, not {wanted:?}");
}

async fn forget(statuses: &Api<ServiceL2Status>) {
    let all = Default::default();
    statuses
        .delete_collection(&DeleteParams::default(), &all)
        .await
        .unwrap();
}

#[test]
fn a_status_that_is_deleted_while_it_is_written_comes_back() {
    let cluster = cluster();
    block_on(async {
        let config = config(&cluster).await;
        let client = Client::try_from(config.clone()).unwrap();
        let statuses: Api<ServiceL2Status> = Api::namespaced(client.clone(), NAMESPACE);
        let deleter = Deleter {
            client: client.clone(),
            times: Arc::new(AtomicU32::new(3)),
        };
        let disturbed = ClientBuilder::try_from(config).unwrap().with_layer(&deleter).build();
        let two = node(&disturbed, "w2", "both", "10.9.0.2", &[]);
        named(&statuses, &["w2"]).await;
        assert_eq!(deleter.times.load(Ordering::SeqCst), 0);
        drop(two);
        forget(&statuses).await;
    });
}

#[test]
fn a_status_that_somebody_deletes_comes_back() {
    let cluster = cluster();
    block_on(async {
        let client = Client::try_from(config(&cluster).await).unwrap();
        let statuses: Api<ServiceL2Status> = Api::namespaced(client.clone(), NAMESPACE);
        let two = node(&client, "w2", "both", "10.9.0.2", &[]);
        for _ in 0..3 {
            named(&statuses, &["w2"]).await;
            forget(&statuses).await;
        }
        named(&statuses, &["w2"]).await;
        drop(two);
        forget(&statuses).await;
    });
}

#[test]
fn a_status_that_is_only_half_written_is_left_to_the_node_that_writes_it() {
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
        // One of a node that announces the other address, and one of a node that does not announce any more.
        for (name, node) in [("half", "w3"), ("gone", "w1")] {
            let object = Patch::Apply(object(name, node));
            statuses.patch(name, &parameters, &object).await.unwrap();
        }
        let two = node(&client, "w2", "both", "10.9.0.2", &["w3"]);
        let mut names = Vec::new();
        for _ in 0..PATIENCE {
            let objects = statuses.list(&Default::default()).await.unwrap();
            names = objects.iter().map(ResourceExt::name_any).collect();
            // Once the other one has gone, it has cleaned up.
            if !names.iter().any(|name| name == "gone") {
                break;
            }
            sleep(Duration::from_millis(250)).await;
        }
        assert!(names.len() == 2 && names.iter().any(|name| name == "half"), "{names:?}");
        drop(two);
        forget(&statuses).await;
    });
}
