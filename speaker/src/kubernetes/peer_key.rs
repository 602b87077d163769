//! The key that seals messages between speakers, from the Secret that the controller fills.

use std::{collections::BTreeMap, pin::pin};

use futures::StreamExt;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client, runtime::watcher};
use lodestone_crds::{PEER_KEY_ENTRY, ResourceChange};
use lodestone_runtime::k8s::{decode_guard::Guarded, watch::changes};
use lodestone_speaker_core::wire::envelope::Key;
use tokio::sync::watch;

/// Watches the Secret and publishes each new key; it never ends. If the Secret or its key is
/// removed, the last key stays in use.
pub(crate) async fn follow(client: Client, namespace: String, name: String, keys: watch::Sender<Option<Key>>) {
    let api = Api::<Guarded<Secret>>::namespaced(client, &namespace);
    let this_secret = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut secrets = pin!(changes(api, this_secret));
    let mut current: Option<Vec<u8>> = None;
    while let Some(event) = secrets.next().await {
        let bytes = match event {
            ResourceChange::Applied(secret) => key_bytes(secret.data.unwrap_or_default()),
            ResourceChange::Synced if current.is_none() => {
                tracing::info!(secret = name, "waiting for the controller to write the speaker key");
                continue;
            }
            _ => continue,
        };
        if bytes == current {
            continue;
        }
        match bytes.as_deref().map(Key::new) {
            Some(Ok(key)) => {
                keys.send_replace(Some(key));
                current = bytes;
            }
            Some(Err(error)) => {
                tracing::warn!(secret = name, %error, "the speaker key is unusable; keeping the last one")
            }
            None => {}
        }
    }
}

/// Returns the bytes of the key, unless they are missing or empty.
fn key_bytes(mut data: BTreeMap<String, ByteString>) -> Option<Vec<u8>> {
    data.remove(PEER_KEY_ENTRY)
        .map(|bytes| bytes.0)
        .filter(|bytes| !bytes.is_empty())
}
