//! The controller: allocates addresses of IPAddressPools to Services of type LoadBalancer.
#![forbid(unsafe_code)]

mod flags;

use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::Result;
use clap::Parser;
use futures::FutureExt;
use k8s_openapi::{api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Api, Client, Resource};
use lodestone_controller::{Connections, EventLoop, ReviewRequest, Webhook, peer_key};
use lodestone_controller_core::Reconciler;
use lodestone_runtime::{
    admin, clock,
    k8s::{
        client,
        events::Events,
        lease::{self, Elector, Leadership, LeaseClient, Timing},
    },
    log,
    readiness::Readiness,
    shutdown,
    task::{Task, spawn},
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use flags::ControllerArgs;

/// How many edits may wait for their review.
const MAX_REVIEWS: usize = 16;

/// How long the API server may take for one answer.
const API_TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = ControllerArgs::parse();
    log::start(args.common.log_level, args.common.log_format);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "controller starting");
    let client = client::connect()?;
    let readiness = Readiness::default();
    let ready = readiness.gate("Services, Namespaces, IPAddressPools and L2Advertisements");
    let (review, reviews) = mpsc::channel(MAX_REVIEWS);
    let _webhook = start_webhook(&args, &client, &readiness, review).await?;
    let metrics = (args.port != 0).then(|| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), args.port));
    let (_admin, queries) = admin::serve(args.common.admin_address(), metrics, readiness).await?;
    let (events, _events) = Events::start(client.clone(), "lodestone-controller", args.pod_name.clone());
    let _peer_key = ensure_peer_key(&args, &client);
    let (leadership, election) = watch::channel(None);
    let candidate = args.allocates().then(|| Candidate::start(&args, &client, leadership));
    let connections = Connections {
        owner: find_owner(client.clone(), args.common.namespace.clone(), args.deployment)
            .boxed()
            .shared(),
        client,
        namespace: args.common.namespace,
        class: args.common.lb_class,
        events,
        queries,
        reviews,
        ready,
        election,
    };
    let event_loop = EventLoop::new(connections, Reconciler::new(args.on_pool_change.into()));
    tokio::select! {
        () = event_loop.run() => {}
        requested = shutdown::requested() => requested?,
    }
    if let Some(candidate) = candidate {
        candidate.release().await;
    }
    tracing::info!("controller stopping");
    Ok(())
}

async fn start_webhook(
    args: &ControllerArgs,
    client: &Client,
    readiness: &Readiness,
    reviews: mpsc::Sender<ReviewRequest>,
) -> Result<Option<[Task; 2]>> {
    if !args.reviews_edits() {
        return Ok(None);
    }
    let webhook = Webhook {
        client: client.clone(),
        namespace: args.common.namespace.clone(),
        name: args.webhook_name.clone(),
        port: args.webhook_port,
        reviews,
        ready: readiness.gate("the certificate of the webhook"),
    };
    webhook.start().await.map(Some)
}

fn ensure_peer_key(args: &ControllerArgs, client: &Client) -> Option<Task> {
    let secret = args.ml_secret_name.clone();
    let namespace = args.common.namespace.clone();
    (args.allocates() && !secret.is_empty()).then(|| spawn(peer_key::ensure(client.clone(), namespace, secret)))
}

/// This replica as a candidate for the Lease.
struct Candidate {
    name: String,
    lease: LeaseClient,
    election: Task,
}

impl Candidate {
    fn start(args: &ControllerArgs, client: &Client, leadership: watch::Sender<Option<Leadership>>) -> Self {
        let pod_name = args.pod_name.clone();
        let name = pod_name.unwrap_or_else(|| format!("controller-{}", clock::wall_nanoseconds()));
        let lease = LeaseClient::new(client.clone(), &args.common.namespace, &args.lease_name);
        let elector = Elector::new(name.clone(), Timing::default());
        let election = spawn(lease::run_election(lease.clone(), elector, leadership));
        Self { name, lease, election }
    }

    /// Releases the Lease, so that another replica can become leader at once. Nothing may be
    /// written any more.
    async fn release(self) {
        drop(self.election);
        self.lease.release(&self.name).await;
    }
}

/// The owner of the ConfigurationState: the Deployment of this process. The object is deleted when
/// Lodestone is uninstalled, and stays when a pod is replaced.
async fn find_owner(client: Client, namespace: String, deployment: String) -> Option<OwnerReference> {
    if deployment.is_empty() {
        return None;
    }
    let api: Api<Deployment> = Api::namespaced(client, &namespace);
    match timeout(API_TIMEOUT, api.get_metadata(&deployment)).await {
        Ok(Ok(found)) => found.owner_ref(&()),
        Ok(Err(error)) => {
            tracing::warn!(deployment, %error, "cannot read the Deployment of this process");
            None
        }
        Err(_) => None,
    }
}
