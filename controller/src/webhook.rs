//! The validating webhook: `kubectl apply` of a pool or an advertisement that could not be used is refused at once, with the field; one that
//! leaves addresses behind is taken with a warning that names the Services.
//!
//! ```text
//!  API server ──TLS──► server ──► review (pure, asked of the task that owns the state)
//!                        ▲
//!  Secret ◄──► keeper ───┘ makes and renews the certificate, tells the API server whose it is
//! ```
//!
//! Whatever gets past it (it fails open) is refused by `Config::build`, with a condition on the object.

pub mod certificates;
pub mod rotation;

pub mod server;

use std::{net::Ipv6Addr, sync::Arc};

use anyhow::{Context, Result};
use kube::Client;
use lodestone_daemon::{
    admin,
    readiness::Gate,
    task::{Task, spawn},
};
use tokio::sync::{mpsc, watch};

/// Starts the webhook. `name` is that of its Secret, its Service and its ValidatingWebhookConfiguration; `ready` is opened when the API
/// server can ask.
///
/// # Errors
/// When the port can't be listened on.
pub async fn start(
    client: Client,
    namespace: String,
    name: &str,
    port: u16,
    reviews: mpsc::Sender<server::Review>,
    ready: Gate,
) -> Result<[Task; 2]> {
    let listener = admin::bind((Ipv6Addr::UNSPECIFIED, port).into())
        .await
        .context("the webhook can't be served")?;
    let (serve, certificate) = watch::channel(None::<Arc<_>>);
    let keeper = rotation::Keeper {
        client,
        namespace: namespace.clone(),
        secret: name.to_owned(),
        configuration: name.to_owned(),
        names: vec![format!("{name}.{namespace}.svc"), format!("{name}.{namespace}")],
        serve,
        ready: Some(ready),
    };
    let server = async move {
        if let Err(error) = server::serve(listener, certificate, namespace, reviews).await {
            tracing::error!(%error, "the webhook has ended");
        }
    };
    Ok([spawn(keeper.run()), spawn(server)])
}
