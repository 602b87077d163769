//! The key that the speakers' messages are sealed with. The chart makes an empty Secret; the first controller that finds it so puts
//! a key in, and nobody ever changes it again.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client, api::PostParams};
use rand::{TryRng, rngs::SysRng};

/// The entry of the Secret. It has the name that MetalLB uses.
pub const KEY: &str = "secretkey";

/// How many bytes of the system's randomness the key has.
const LENGTH: usize = 32;

/// Sees to it that the Secret has a key; tries until it has.
pub async fn ensure(client: Client, namespace: String, name: String) {
    loop {
        match try_ensure(&client, &namespace, &name).await {
            Ok(true) => return tracing::info!(secret = name, "a key for the speakers has been made"),
            Ok(false) => return,
            Err(error) => tracing::warn!(
                secret = name,
                error = format!("{error:#}"),
                "no key for the speakers yet; trying again"
            ),
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Whether a key had to be made.
async fn try_ensure(client: &Client, namespace: &str, name: &str) -> Result<bool> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut secret = api.get(name).await.context("can't read the Secret")?;
    if secret
        .data
        .as_ref()
        .and_then(|data| data.get(KEY))
        .is_some_and(|key| !key.0.is_empty())
    {
        return Ok(false);
    }
    let mut key = vec![0; LENGTH];
    SysRng.try_fill_bytes(&mut key).context("no randomness")?;
    secret
        .data
        .get_or_insert_default()
        .insert(KEY.to_owned(), ByteString(key));
    // Its resourceVersion goes along: of two controllers only one makes the key.
    api.replace(name, &PostParams::default(), &secret)
        .await
        .context("can't write the Secret")?;
    Ok(true)
}
