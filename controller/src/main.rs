//! The controller: gives addresses of IPAddressPools to Services of type LoadBalancer.
#![forbid(unsafe_code)]

use std::sync::Arc;

use anyhow::Result;
use clap::Parser;
use futures::FutureExt;
use lodestone_controller::{controller::Controller, core::Core, peers_secret, plan::OnPoolChange};
use lodestone_daemon::{
    admin, client, events::Events, flags::Common, log, readiness::Readiness, shutdown, task::spawn,
};
use tokio::sync::{mpsc, oneshot};

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
        on_pool_change,
    } = Args::parse();
    log::start(common.log_level, common.log_format);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the controller starts");
    let client = client::connect().await?;
    let readiness = Readiness::default();
    let ready = readiness.gate("Services, Namespaces, IPAddressPools and L2Advertisements");
    let (ask, questions) = mpsc::channel::<oneshot::Sender<serde_json::Value>>(4);
    let state: admin::StateSource = Arc::new(move || {
        let ask = ask.clone();
        async move {
            let (sender, answer) = oneshot::channel();
            match ask.send(sender).await {
                Ok(()) => answer.await.unwrap_or_default(),
                Err(_) => serde_json::Value::Null,
            }
        }
        .boxed()
    });
    let _admin = admin::serve(common.admin_address(), readiness, state).await?;
    let (events, _events) = Events::start(client.clone(), "lodestone-controller", pod_name);
    let _secret = (!ml_secret_name.is_empty()).then(|| {
        spawn(peers_secret::ensure(
            client.clone(),
            common.namespace.clone(),
            ml_secret_name,
        ))
    });
    let controller = Controller {
        client,
        namespace: common.namespace.clone(),
        class: common.lb_class.clone(),
        events,
        questions,
        ready,
    };
    tokio::select! {
        () = controller.run(Core::new(on_pool_change)) => {}
        told = shutdown::requested() => told?,
    }
    tracing::info!("the controller ends");
    Ok(())
}
