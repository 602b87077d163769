//! The controller: gives addresses of IPAddressPools to Services of type LoadBalancer.
#![forbid(unsafe_code)]

use anyhow::Result;
use clap::Parser;
use lodestone_controller::{controller::Controller, core::Core, peers_secret, plan::OnPoolChange};
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
use tokio::sync::watch;

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

    /// What becomes of an address whose pool is deleted, shrunk or closed to its Service
    #[arg(long, value_enum, default_value_t)]
    on_pool_change: OnPoolChange,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Args {
        common,
        pod_name,
        ml_secret_name,
        lease_name,
        on_pool_change,
    } = Args::parse();
    log::start(common.log_level, common.log_format);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the controller starts");
    let client = client::connect().await?;
    let readiness = Readiness::default();
    let ready = readiness.gate("Services, Namespaces, IPAddressPools and L2Advertisements");
    let (_admin, questions) = admin::serve(common.admin_address(), readiness).await?;
    let (events, _events) = Events::start(client.clone(), "lodestone-controller", pod_name.clone());
    let _secret = (!ml_secret_name.is_empty()).then(|| {
        spawn(peers_secret::ensure(
            client.clone(),
            common.namespace.clone(),
            ml_secret_name,
        ))
    });
    let me = pod_name.unwrap_or_else(|| format!("controller-{}", clock::wall_nanoseconds()));
    let lease = LeaseClient::new(client.clone(), &common.namespace, &lease_name);
    let (leads, leading) = watch::channel(false);
    let holder = spawn(lease::hold(
        lease.clone(),
        Elector::new(me.clone(), Timing::default()),
        leads,
    ));
    let controller = Controller {
        client,
        namespace: common.namespace.clone(),
        class: common.lb_class.clone(),
        events,
        questions,
        ready,
        leads: leading,
    };
    tokio::select! {
        () = controller.run(Core::new(on_pool_change)) => {}
        told = shutdown::requested() => told?,
    }
    // Nothing is written any more: another replica may begin.
    drop(holder);
    lease.release(&me).await;
    tracing::info!("the controller ends");
    Ok(())
}
