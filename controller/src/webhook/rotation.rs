//! Rotates the webhook's certificate: issues it, renews it in time, hands it to the server, and
//! publishes its authority to the API server.
//!
//! Several replicas agree through the Secret: the first write decides the certificate of all.
//!
//! ```text
//!  Secret empty or expiring ──issue──► Secret has a certificate ──publish──► authority trusted
//!            ▲                                                        │ wait SPREAD if another
//!            └──────────────── 90 days before expiry ──────── served ◄┘ certificate is served
//! ```

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use futures::StreamExt;
use k8s_openapi::{
    ByteString,
    api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    runtime::watcher,
};
use lodestone_crds::ResourceChange;
use lodestone_runtime::{
    clock,
    k8s::{decode_guard::Guarded, watch::changes},
    readiness::Gate,
};
use rustls::sign::CertifiedKey;
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::watch, time::sleep};

use super::certificates::Bundle;

/// How often the expiry is compared with the wall clock.
const ROUND: Duration = Duration::from_secs(3600);

/// How long to wait before a failed step is retried.
const RETRY: Duration = Duration::from_secs(2);

/// How long a new authority needs to reach every API server.
const SPREAD: Duration = Duration::from_secs(3);

/// Rotates the certificate.
pub(super) struct CertificateRotation {
    /// The connection to the API server.
    pub(super) client: Client,
    /// The namespace of the Secret.
    pub(super) namespace: String,
    /// The Secret, which the chart creates empty.
    pub(super) secret: String,
    /// The ValidatingWebhookConfiguration, which the chart creates.
    pub(super) configuration: String,
    /// The host names of the webhook.
    pub(super) host_names: Vec<String>,
    /// Where the certificate goes.
    pub(super) serve: watch::Sender<Option<Arc<CertifiedKey>>>,
    /// Opened once the API server can call the webhook.
    pub(super) ready: Option<Gate>,
}

/// The fields of a ValidatingWebhookConfiguration that the rotation uses.
#[derive(Resource, Clone, Debug, Deserialize)]
#[resource(inherit = "ValidatingWebhookConfiguration")]
struct WebhookConfiguration {
    metadata: ObjectMeta,
    #[serde(default)]
    webhooks: Vec<WebhookEntry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WebhookEntry {
    name: String,
    client_config: ClientConfig,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    ca_bundle: Option<ByteString>,
}

/// The objects as the API server has them.
#[derive(Default)]
struct Stored {
    secret: Option<Secret>,
    configuration: Option<WebhookConfiguration>,
}

impl CertificateRotation {
    /// Runs until it is dropped.
    pub(super) async fn run(mut self) {
        let only = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
        let secrets: Api<Guarded<Secret>> = Api::namespaced(self.client.clone(), &self.namespace);
        let configurations: Api<Guarded<WebhookConfiguration>> = Api::all(self.client.clone());
        let mut secrets = std::pin::pin!(changes(secrets, only(&self.secret)));
        let mut configurations = std::pin::pin!(changes(configurations, only(&self.configuration)));
        let (mut stored, mut served) = (Stored::default(), None);
        let mut wait = ROUND;
        loop {
            tokio::select! {
                Some(change) = secrets.next() => update(&mut stored.secret, change),
                Some(change) = configurations.next() => update(&mut stored.configuration, change),
                () = sleep(wait) => {}
            }
            wait = match self.step(&stored, &mut served).await {
                Ok(is_ready) => {
                    if is_ready && let Some(gate) = self.ready.take() {
                        gate.open();
                    }
                    ROUND
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "cannot set up the webhook; retrying");
                    RETRY
                }
            };
        }
    }

    /// Takes the next step of the rotation. Returns whether the API server can call the webhook.
    async fn step(&self, stored: &Stored, served: &mut Option<Bundle>) -> Result<bool> {
        let Some(secret) = &stored.secret else {
            return Ok(false);
        };
        let now = clock::wall();
        let bundle = secret.data.as_ref().and_then(Bundle::read);
        let Some(bundle) = bundle.as_ref().filter(|bundle| !bundle.is_due(&self.host_names, now)) else {
            let new = Bundle::issue(&self.host_names, now, bundle.as_ref())?;
            self.store(secret, &new).await?;
            // The watch reports the new certificate, or one that another replica stored first.
            return Ok(false);
        };
        if served.as_ref() != Some(bundle) {
            // The authority is published before the certificate is served, so that the API server
            // trusts what is served at all times.
            self.publish_authority(stored, bundle).await?;
            if served.is_some() {
                // Until every API server has the new authority, the old certificate stays in use.
                // Its authority stays trusted.
                sleep(SPREAD).await;
            }
            self.serve.send_replace(Some(bundle.certified()?));
            tracing::info!(secret = self.secret, until = %bundle.expires, "serving the certificate of the webhook");
            *served = Some(bundle.clone());
        }
        self.publish_authority(stored, bundle).await
    }

    async fn store(&self, secret: &Secret, bundle: &Bundle) -> Result<()> {
        let mut secret = secret.clone();
        secret.data.get_or_insert_default().extend(bundle.write());
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        // The write contains the resourceVersion, so only one of two replicas succeeds.
        match api.replace(&self.secret, &PostParams::default(), &secret).await {
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
            answer => answer.map(|_| ()).context("cannot write the Secret of the webhook"),
        }
    }

    /// Ensures that the API server trusts the certificate. Returns whether the
    /// ValidatingWebhookConfiguration exists.
    async fn publish_authority(&self, stored: &Stored, bundle: &Bundle) -> Result<bool> {
        let Some(configuration) = &stored.configuration else {
            return Ok(false);
        };
        let wanted = ByteString(bundle.ca.as_bytes().to_vec());
        // Another replica may have published a newer authority together with this one. That must
        // not be reverted.
        let trusts = |authorities: &ByteString| {
            std::str::from_utf8(&authorities.0).is_ok_and(|authorities| bundle.is_trusted_by(authorities))
        };
        let untrusting: Vec<_> = configuration
            .webhooks
            .iter()
            .filter(|webhook| !webhook.client_config.ca_bundle.as_ref().is_some_and(trusts))
            .map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": wanted}}))
            .collect();
        if untrusting.is_empty() {
            return Ok(true);
        }
        let api: Api<WebhookConfiguration> = Api::all(self.client.clone());
        // The list is merged by name, so the other fields stay as the chart set them.
        let patch = Patch::Strategic(json!({"webhooks": untrusting}));
        api.patch(&configuration.name_any(), &PatchParams::default(), &patch)
            .await
            .context("cannot publish the authority to the API server")?;
        Ok(true)
    }
}

fn update<K>(stored: &mut Option<K>, change: ResourceChange<K>) {
    match change {
        ResourceChange::Applied(object) => *stored = Some(object),
        ResourceChange::Gone(_) | ResourceChange::Undecodable(..) => *stored = None,
        ResourceChange::Synced => {}
    }
}
