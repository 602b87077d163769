//! The validating webhook. `kubectl apply` of a pool or an advertisement that is not valid fails at
//! once and names the field. An edit that leaves addresses behind succeeds with a warning that
//! names the Services.
//!
//! ```text
//!  API server ──TLS──► server ──► admission review (pure, by the task that owns the state)
//!                        ▲
//!  Secret ◄─► rotation ──┘ issues and renews the certificate, publishes its authority
//! ```
//!
//! The webhook fails open. `Config::build` refuses whatever gets past it, and a condition on the
//! object says why.

mod certificates;
mod rotation;
mod server;

use std::{fmt, net::Ipv6Addr};

use anyhow::{Context, Result};
use kube::Client;
use lodestone_runtime::{
    admin,
    readiness::Gate,
    task::{Task, spawn},
};
use tokio::sync::{mpsc, watch};

pub use server::ReviewRequest;

/// What the webhook works with.
pub struct Webhook {
    /// The connection to the API server.
    pub client: Client,
    /// The only namespace that configuration may be in.
    pub namespace: String,
    /// The name of its Secret, its Service and its ValidatingWebhookConfiguration.
    pub name: String,
    /// The port of the HTTPS server.
    pub port: u16,
    /// Where edits go for review.
    pub reviews: mpsc::Sender<ReviewRequest>,
    /// Opened once the API server can call the webhook.
    pub ready: Gate,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// Starts the server and the rotation of its certificate.
    ///
    /// # Errors
    /// When it cannot listen on the port.
    pub async fn start(self) -> Result<[Task; 2]> {
        let listener = admin::bind((Ipv6Addr::UNSPECIFIED, self.port).into())
            .await
            .context("cannot listen on the port of the webhook")?;
        let (serve, certificate) = watch::channel(None);
        let (name, namespace) = (&self.name, &self.namespace);
        let rotation = rotation::CertificateRotation {
            client: self.client,
            namespace: namespace.clone(),
            secret: name.clone(),
            configuration: name.clone(),
            host_names: vec![format!("{name}.{namespace}.svc"), format!("{name}.{namespace}")],
            serve,
            ready: Some(self.ready),
        };
        let server = async move {
            if let Err(error) = server::serve(listener, certificate, self.namespace, self.reviews).await {
                tracing::error!(%error, "the webhook server ended");
            }
        };
        Ok([spawn(rotation.run()), spawn(server)])
    }
}
