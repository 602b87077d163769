//! The connection to the API server.

use std::time::Duration;

use anyhow::{Context, Result};
use kube::{Client, Config};
use tokio::time::timeout;

/// Nothing is heard for so long only on a connection that is dead: watches end after a minute.
const SILENCE: Duration = Duration::from_secs(75);

/// Connects with the credentials of the pod, or of KUBECONFIG.
///
/// # Errors
/// When there are none.
pub async fn connect() -> Result<Client> {
    let mut config = Config::infer()
        .await
        .context("no credentials for the API server: neither a pod's nor KUBECONFIG")?;
    config.connect_timeout = Some(Duration::from_secs(5));
    // A connection whose other end has gone without a word would hold up what is sent on it for a quarter of an hour.
    config.read_timeout = Some(SILENCE);
    config.write_timeout = Some(SILENCE);
    Client::try_from(config).context("can't make a client for the API server")
}

/// How long the API server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits for the answer to one request, but not for ever: a connection whose other end has gone would hold it up.
///
/// # Errors
/// Those of the request, and when there is no answer in time.
pub async fn with_time_limit<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    let no_answer = || kube::Error::Service("no answer in time".into());
    timeout(PATIENCE, request).await.unwrap_or_else(|_| Err(no_answer()))
}
