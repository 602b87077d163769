//! The controller: gives addresses of IPAddressPools to Services of type LoadBalancer.
#![forbid(unsafe_code)]

use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use futures::FutureExt;
use k8s_openapi::{api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Api, Client, Resource};
use lodestone_controller::{event_loop::EventLoop, peer_key, plan::OnPoolChange, reconciler::Reconciler, webhook};
use lodestone_daemon::{
    admin, client, clock,
    events::Events,
    flags::Common,
    lease::{self, Elector, LeaseClient, Timing},
    log,
    readiness::Readiness,
    shutdown,
    task::spawn,
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

/// How many edits may wait for their review.
const REVIEWS: usize = 16;

/// How long the API server may take for one answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Gives addresses of IPAddressPools to Services of type LoadBalancer.
#[derive(Parser, Debug)]
#[command(name = "controller", version)]
struct Args {
    #[command(flatten)]
    common: Common,

    /// Name of this pod, for events
    #[arg(long, env = "METALLB_POD_NAME")]
    pod_name: Option<String>,

    /// Name of the Secret with the key of the speakers' messages; empty: none is made
    #[arg(long, env = "METALLB_ML_SECRET_NAME", default_value = "")]
    ml_secret_name: String,

    /// Name of the Lease by which one of several replicas is chosen to work
    #[arg(long, env = "METALLB_LEASE_NAME", default_value = "lodestone-controller")]
    lease_name: String,

    /// Whether edits of the configuration are reviewed before they are made, and whether this process does anything else
    #[arg(long, env = "METALLB_WEBHOOK_MODE", value_enum, default_value_t)]
    webhook_mode: WebhookMode,

    /// Port of the webhook
    #[arg(long, default_value_t = 9443)]
    webhook_port: u16,

    /// Name of the Secret with the certificate of the webhook, of its Service, and of its ValidatingWebhookConfiguration
    #[arg(long, default_value = "lodestone-webhook")]
    webhook_name: String,

    /// Name of the Deployment of this process, to which its ConfigurationState belongs; empty: to nothing
    #[arg(long, env = "METALLB_DEPLOYMENT", default_value = "")]
    deployment: String,

    /// Port of the HTTP server for /metrics, on all addresses; 0: none
    #[arg(long, default_value_t = 9120)]
    port: u16,

    /// What becomes of an address whose pool is deleted, shrunk or closed to its Service
    #[arg(long, value_enum, default_value_t)]
    on_pool_change: OnPoolChange,
}

/// What the process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum WebhookMode {
    /// It gives out addresses and reviews edits.
    #[default]
    Enabled,
    /// It gives out addresses.
    Disabled,
    /// It reviews edits.
    Onlywebhook,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Args {
        common,
        pod_name,
        ml_secret_name,
        lease_name,
        webhook_mode,
        webhook_port,
        webhook_name,
        deployment,
        port,
        on_pool_change,
    } = Args::parse();
    log::start(common.log_level, common.log_format);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the controller starts");
    let client = client::connect().await?;
    let readiness = Readiness::default();
    let ready = readiness.gate("Services, Namespaces, IPAddressPools and L2Advertisements");
    let (review, reviews) = mpsc::channel(REVIEWS);
    let _webhook = if webhook_mode == WebhookMode::Disabled {
        None
    } else {
        let ready = readiness.gate("the certificate of the webhook");
        let (client, namespace) = (client.clone(), common.namespace.clone());
        Some(webhook::start(client, namespace, &webhook_name, webhook_port, review, ready).await?)
    };
    let metrics = (port != 0).then(|| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
    let (_admin, questions) = admin::serve(common.admin_address(), metrics, readiness).await?;
    let (events, _events) = Events::start(client.clone(), "lodestone-controller", pod_name.clone());
    let works = webhook_mode != WebhookMode::Onlywebhook;
    let _secret = (works && !ml_secret_name.is_empty()).then(|| {
        spawn(peer_key::ensure(
            client.clone(),
            common.namespace.clone(),
            ml_secret_name,
        ))
    });
    let me = pod_name.unwrap_or_else(|| format!("controller-{}", clock::wall_nanoseconds()));
    let lease = LeaseClient::new(client.clone(), &common.namespace, &lease_name);
    let (leads, leading) = watch::channel(None);
    let holder = works.then(|| {
        let elector = Elector::new(me.clone(), Timing::default());
        spawn(lease::hold(lease.clone(), elector, leads))
    });
    let controller = EventLoop {
        owner: owner(client.clone(), common.namespace.clone(), deployment)
            .boxed()
            .shared(),
        client,
        namespace: common.namespace.clone(),
        class: common.lb_class.clone(),
        events,
        questions,
        reviews,
        ready,
        leads: leading,
    };
    tokio::select! {
        () = controller.run(Reconciler::new(on_pool_change)) => {}
        told = shutdown::requested() => told?,
    }
    // Nothing is written any more: another replica may begin.
    if holder.is_some() {
        drop(holder);
        lease.release(&me).await;
    }
    tracing::info!("the controller ends");
    Ok(())
}

/// What the ConfigurationState belongs to: it goes when Lodestone is uninstalled, and stays when a pod is replaced.
async fn owner(client: Client, namespace: String, deployment: String) -> Option<OwnerReference> {
    if deployment.is_empty() {
        return None;
    }
    let api: Api<Deployment> = Api::namespaced(client, &namespace);
    match timeout(LIMIT, api.get_metadata(&deployment)).await {
        Ok(Ok(found)) => found.owner_ref(&()),
        Ok(Err(error)) => {
            tracing::warn!(deployment, %error, "the Deployment of this process can't be read");
            None
        }
        Err(_) => None,
    }
}
