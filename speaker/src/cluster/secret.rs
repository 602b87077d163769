//! The key of the speakers' messages, from the Secret that the controller fills.

use std::collections::BTreeMap;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, runtime::watcher};
use lodestone_crds::PEER_KEY_ENTRY;
use lodestone_runtime::k8s::{
    decode_guard::Guarded,
    watch::{WatchEvent, changes},
};
use tokio::sync::watch;

use crate::wire::envelope::Key;

/// Follows the Secret for ever. Without a key the speaker does not start; a key that is taken away stays in use.
pub async fn follow(client: Client, namespace: String, name: String, key: watch::Sender<Option<Key>>) {
    let api = Api::<Guarded<Secret>>::namespaced(client, &namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut secrets = std::pin::pin!(changes(api, only));
    let mut known: Option<Vec<u8>> = None;
    while let Some(change) = secrets.next().await {
        let bytes = match change {
            WatchEvent::Applied(secret) => entry(secret.data.unwrap_or_default()),
            WatchEvent::Synced if known.is_none() => {
                tracing::info!(
                    secret = name,
                    "waiting for the controller to put a key into this Secret"
                );
                continue;
            }
            _ => continue,
        };
        if bytes != known
            && let Some(made) = bytes.as_deref().and_then(Key::new)
        {
            key.send_replace(Some(made));
            known = bytes;
        }
    }
}

fn entry(mut data: BTreeMap<String, k8s_openapi::ByteString>) -> Option<Vec<u8>> {
    data.remove(PEER_KEY_ENTRY)
        .map(|bytes| bytes.0)
        .filter(|bytes| !bytes.is_empty())
}
