//! The connection to the API server.

use std::time::Duration;

use anyhow::{Context, Result};
use kube::{Client, Config};

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
