//! The connection to the API server.

use std::time::Duration;

use anyhow::{Context, Result};
use kube::{Client, Config};
use tokio::time::timeout;

/// A connection that carries nothing for this long is dead, because every watch ends after a
/// minute.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// The longest time to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time to wait for one response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepares a client with the credentials that Kubernetes mounts into a pod.
///
/// # Errors
/// When this process does not run in a pod, and when its credentials are not usable.
pub fn connect() -> Result<Client> {
    let mut config =
        Config::incluster().context("no credentials of a service account found: this program runs in a pod")?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // Without these limits, requests on a connection whose peer vanished hang for about 15 minutes.
    config.read_timeout = Some(IDLE_TIMEOUT);
    config.write_timeout = Some(IDLE_TIMEOUT);
    Client::try_from(config).context("cannot create a client for the API server")
}

/// Waits for the response to one request, for a limited time. A request on a connection whose peer
/// vanished would otherwise block its caller.
///
/// # Errors
/// The errors of the request, and an error when the response does not arrive in time.
pub async fn with_time_limit<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    let timed_out = || kube::Error::Service("the API server did not respond in time".into());
    timeout(RESPONSE_TIMEOUT, request)
        .await
        .unwrap_or_else(|_| Err(timed_out()))
}
