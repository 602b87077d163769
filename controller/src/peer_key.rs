//! The key that seals the messages between speakers.
//!
//! The chart creates an empty Secret. The first controller that finds it empty generates a key, and
//! no controller ever changes that key.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client, api::PostParams};
use lodestone_crds::PEER_KEY_ENTRY;
use rand::{TryRng, rngs::SysRng};

/// The length of the key in bytes.
const LENGTH: usize = 32;

/// How long to wait before the next try.
const RETRY: Duration = Duration::from_secs(2);

/// Ensures that the Secret has a key. Retries until it has.
pub async fn ensure(client: Client, namespace: String, name: String) {
    loop {
        match try_ensure(&client, &namespace, &name).await {
            Ok(Ensured::Generated) => return tracing::info!(secret = name, "generated the speaker key"),
            Ok(Ensured::Existed) => return,
            Err(error) => tracing::warn!(
                secret = name,
                error = format!("{error:#}"),
                "the speakers have no key yet; retrying"
            ),
        }
        tokio::time::sleep(RETRY).await;
    }
}

enum Ensured {
    Existed,
    Generated,
}

async fn try_ensure(client: &Client, namespace: &str, name: &str) -> Result<Ensured> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut secret = api.get(name).await.context("cannot read the Secret")?;
    let data = secret.data.get_or_insert_default();
    if data.get(PEER_KEY_ENTRY).is_some_and(|key| !key.0.is_empty()) {
        return Ok(Ensured::Existed);
    }
    let mut key = vec![0; LENGTH];
    SysRng.try_fill_bytes(&mut key).context("no randomness")?;
    data.insert(PEER_KEY_ENTRY.to_owned(), ByteString(key));
    // The write contains the resourceVersion, so only one of two controllers succeeds.
    api.replace(name, &PostParams::default(), &secret)
        .await
        .context("cannot write the Secret")?;
    Ok(Ensured::Generated)
}
