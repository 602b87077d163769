//! HTTP servers for probes, metrics and `/debug/state`.
//!
//! | Path | Response |
//! |---|---|
//! | `/healthz` | 200 while the process runs |
//! | `/readyz` | 200 when the process is ready, else 503 and the list of what it waits for |
//! | `/debug/state` | what the process knows and why it acts as it does, as JSON |
//! | `/metrics` | metrics for Prometheus, in the OpenMetrics text format |
//!
//! `/metrics` has a port of its own. That port may be open to other hosts while the first one is
//! not.

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

/// A request to the task that owns the state. The HTTP client gets 503 if that task drops the
/// request without a response.
#[derive(Debug)]
pub enum Query {
    /// Asks for the content of `/debug/state`.
    State(oneshot::Sender<serde_json::Value>),
    /// Asks for the metrics in the OpenMetrics text format.
    Metrics(oneshot::Sender<String>),
}

/// The sending side of the queries.
#[derive(Clone, Debug)]
struct QuerySender(mpsc::Sender<Query>);

/// How many queries may wait for a response.
const QUERY_QUEUE: usize = 4;

/// The content type of the metrics. Prometheus 3 rejects any other.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Starts the servers: probes and state at `address`, metrics at `metrics` if it is given. The
/// caller must respond to the queries that it receives.
///
/// # Errors
/// When an address cannot be bound, for example because another process uses the port.
pub async fn serve(
    address: SocketAddr,
    metrics: Option<SocketAddr>,
    readiness: Readiness,
) -> Result<(Vec<Task>, mpsc::Receiver<Query>)> {
    let (sender, queries) = mpsc::channel::<Query>(QUERY_QUEUE);
    let sender = QuerySender(sender);
    let mut servers = vec![listen(address, probes(sender.clone(), readiness)).await?];
    if let Some(address) = metrics {
        let route = get(move || async move { sender.request(Query::Metrics, OPEN_METRICS).await });
        servers.push(listen(address, Router::new().route("/metrics", route)).await?);
    }
    Ok((servers, queries))
}

fn probes(sender: QuerySender, readiness: Readiness) -> Router {
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
            get(move || async move { sender.request(Query::State, "application/json").await }),
        )
}

impl QuerySender {
    async fn request<T: ToString>(
        &self,
        query: impl FnOnce(oneshot::Sender<T>) -> Query,
        content_type: &str,
    ) -> Response {
        let (sender, response) = oneshot::channel();
        // The send fails only while the process shuts down. The channel is then closed, which is
        // 503.
        let _ = self.0.send(query(sender)).await;
        match response.await {
            Ok(body) => ([(CONTENT_TYPE, content_type)], body.to_string()).into_response(),
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

async fn listen(address: SocketAddr, router: Router) -> Result<Task> {
    let listener = bind(address).await?;
    Ok(spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%address, %error, "HTTP server stopped");
        }
    }))
}

/// Listens on `address`. The address `::` stands for all addresses of every family that the host
/// has.
///
/// # Errors
/// When the address cannot be bound, for example because another process uses the port.
pub async fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listener = match TcpListener::bind(address).await {
        // A host without IPv6 has no `::`.
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        result => result,
    };
    listener.with_context(|| format!("cannot listen on {address}"))
}
