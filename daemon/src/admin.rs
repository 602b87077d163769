//! The HTTP server for probes and questions.
//!
//! - `/healthz`: the process runs.
//! - `/readyz`: 200 when there is nothing left to wait for, else 503 and what it is.
//! - `/debug/state`: what the process knows and why it does what it does, as JSON.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
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

/// A question for the state of the process; whoever owns the state answers it with JSON.
pub type Question = oneshot::Sender<serde_json::Value>;

/// How many questions may wait for an answer.
const QUESTIONS: usize = 4;

/// Starts the server. What is asked at `/debug/state` is to be answered by whoever reads the questions.
///
/// # Errors
/// When the address can't be listened on, as when another process has the port.
pub async fn serve(address: SocketAddr, readiness: Readiness) -> Result<(Task, mpsc::Receiver<Question>)> {
    let (ask, questions) = mpsc::channel::<Question>(QUESTIONS);
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
    let debug = move || {
        let ask = ask.clone();
        async move {
            let (question, answer) = oneshot::channel();
            let asked = ask.send(question).await.is_ok();
            let state = if asked {
                answer.await.unwrap_or_default()
            } else {
                serde_json::Value::Null
            };
            ([(CONTENT_TYPE, "application/json")], state.to_string())
        }
    };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/debug/state", get(debug));
    let server = spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the admin server has ended");
        }
    });
    Ok((server, questions))
}
