//! The HTTP servers for probes and questions.
//!
//! - `/healthz`: the process runs.
//! - `/readyz`: 200 when there is nothing left to wait for, else 503 and what it is.
//! - `/debug/state`: what the process knows and why it does what it does, as JSON.
//! - `/metrics`: for Prometheus (OpenMetrics); on a port of its own, which is open to other hosts where the others are not.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result};
use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use crate::{
    readiness::Readiness,
    task::{Task, spawn},
};

/// A question to the process; whoever owns its state answers. One that is not answered is answered with 503.
#[derive(Debug)]
pub enum Query {
    /// What it knows and why it does what it does.
    State(oneshot::Sender<serde_json::Value>),
    /// Its metrics, in the text format of OpenMetrics.
    Metrics(oneshot::Sender<String>),
}

/// Where questions are asked.
#[derive(Clone, Debug)]
struct Asker(mpsc::Sender<Query>);

/// How many questions may wait for an answer.
const QUESTIONS: usize = 4;

/// The type of the metrics; Prometheus 3 refuses others.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Starts the servers: probes and state at `address`, metrics at `metrics` if that is given. Questions are to be answered by whoever reads
/// them.
///
/// # Errors
/// When an address can't be listened on, as when another process has the port.
pub async fn serve(
    address: SocketAddr,
    metrics: Option<SocketAddr>,
    readiness: Readiness,
) -> Result<(Vec<Task>, mpsc::Receiver<Query>)> {
    let (ask, questions) = mpsc::channel::<Query>(QUESTIONS);
    let asker = Asker(ask);
    let mut servers = vec![listen(address, probes(asker.clone(), readiness)).await?];
    if let Some(address) = metrics {
        let route = get(move || async move { asker.ask(Query::Metrics, OPEN_METRICS).await });
        servers.push(listen(address, Router::new().route("/metrics", route)).await?);
    }
    Ok((servers, questions))
}

fn probes(asker: Asker, readiness: Readiness) -> Router {
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
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route(
            "/debug/state",
            get(move || async move { asker.ask(Query::State, "application/json").await }),
        )
}

impl Asker {
    async fn ask<T: ToString>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Query, type_: &str) -> Response {
        let (sender, answer) = oneshot::channel();
        // Whoever answers may be about to end.
        let _ = self.0.send(question(sender)).await;
        match answer.await {
            Ok(answer) => ([(CONTENT_TYPE, type_)], answer.to_string()).into_response(),
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

async fn listen(address: SocketAddr, router: Router) -> Result<Task> {
    let listener = bind(address).await?;
    Ok(spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%address, %error, "the server has ended");
        }
    }))
}

/// Listens on an address; `::` is every address of whatever families the host has.
///
/// # Errors
/// When it can't be listened on, as when another process has the port.
pub async fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listener = match TcpListener::bind(address).await {
        // A host without IPv6 has no `::`.
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        answer => answer,
    };
    listener.with_context(|| format!("can't listen on {address}"))
}
