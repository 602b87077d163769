//! The HTTP server for probes and questions.
//!
//! - `/healthz`: the process runs.
//! - `/readyz`: 200 when there is nothing left to wait for, else 503 and what it is.
//! - `/debug/state`: what the process knows and why it does what it does, as JSON.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    routing::get,
};
use futures::future::BoxFuture;
use tokio::net::TcpListener;

use crate::{
    readiness::Readiness,
    task::{Task, spawn},
};

/// Tells the state of the process as JSON, for `/debug/state`.
pub type StateSource = Arc<dyn Fn() -> BoxFuture<'static, serde_json::Value> + Send + Sync>;

/// Starts the server.
///
/// # Errors
/// When the address can't be listened on, as when another process has the port.
pub async fn serve(address: SocketAddr, readiness: Readiness, state: StateSource) -> Result<Task> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("can't listen on {address}"))?;
    let ready = move || async move {
        let waiting = readiness.waiting_for();
        if waiting.is_empty() {
            (StatusCode::OK, "ok".to_owned())
        } else {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("waiting for: {}\n", waiting.join(", ")),
            )
        }
    };
    let debug = move || async move { ([(CONTENT_TYPE, "application/json")], state().await.to_string()) };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/debug/state", get(debug));
    Ok(spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the admin server has ended");
        }
    }))
}
