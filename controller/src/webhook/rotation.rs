//! Keeps the webhook's certificate: makes it, renews it in time, gives it to the server, and tells the API server whom to trust. Several
//! replicas agree by means of the Secret: whoever writes first has made the certificate of all.

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
use lodestone_daemon::{
    clock,
    guarded::Guarded,
    readiness::Gate,
    watch::{Change, changes},
};
use rustls::sign::CertifiedKey;
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::watch, time::sleep};

use super::certificates::Bundle;

/// How often the wall clock is looked at.
const ROUND: Duration = Duration::from_secs(3600);

/// How long a step that failed waits for the next try.
const RETRY: Duration = Duration::from_secs(2);

/// Keeps the certificate.
pub struct Keeper {
    /// The API server.
    pub client: Client,
    /// The namespace of the Secret.
    pub namespace: String,
    /// The Secret that the chart has made, empty.
    pub secret: String,
    /// The ValidatingWebhookConfiguration that the chart has made.
    pub configuration: String,
    /// The host names of the webhook.
    pub names: Vec<String>,
    /// Where the certificate goes.
    pub serve: watch::Sender<Option<Arc<CertifiedKey>>>,
    /// Opened when the API server can ask.
    pub ready: Option<Gate>,
}

/// A ValidatingWebhookConfiguration, as far as it is looked at.
#[derive(Resource, Clone, Debug, Deserialize)]
#[resource(inherit = "ValidatingWebhookConfiguration")]
struct Configuration {
    metadata: ObjectMeta,
    #[serde(default)]
    webhooks: Vec<Webhook>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    name: String,
    client_config: ClientConfig,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    ca_bundle: Option<ByteString>,
}

/// How long the word of a new authority takes to every API server.
const SPREAD: Duration = Duration::from_secs(3);

/// What the API server has.
#[derive(Default)]
struct Seen {
    secret: Option<Secret>,
    configuration: Option<Configuration>,
}

impl Keeper {
    /// Keeps it for ever.
    pub async fn run(mut self) {
        let only = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
        let secrets: Api<Guarded<Secret>> = Api::namespaced(self.client.clone(), &self.namespace);
        let configurations: Api<Guarded<Configuration>> = Api::all(self.client.clone());
        let mut secrets = std::pin::pin!(changes(secrets, only(&self.secret)));
        let mut configurations = std::pin::pin!(changes(configurations, only(&self.configuration)));
        let (mut seen, mut served) = (Seen::default(), None);
        let mut wait = ROUND;
        loop {
            tokio::select! {
                Some(change) = secrets.next() => match change {
                    Change::Applied(secret) => seen.secret = Some(secret),
                    Change::Gone(_) | Change::Undecodable(..) => seen.secret = None,
                    Change::Synced => {}
                },
                Some(change) = configurations.next() => match change {
                    Change::Applied(configuration) => seen.configuration = Some(configuration),
                    Change::Gone(_) | Change::Undecodable(..) => seen.configuration = None,
                    Change::Synced => {}
                },
                () = sleep(wait) => {}
            }
            wait = match self.step(&seen, &mut served).await {
                Ok(done) => {
                    if done && let Some(gate) = self.ready.take() {
                        gate.open();
                    }
                    ROUND
                }
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the webhook can't be set up; trying again"
                    );
                    RETRY
                }
            };
        }
    }

    /// One step towards what is to be. Gives back whether the API server can ask now.
    async fn step(&self, seen: &Seen, served: &mut Option<Bundle>) -> Result<bool> {
        let Some(secret) = &seen.secret else {
            return Ok(false);
        };
        let now = clock::wall();
        let bundle = secret.data.as_ref().and_then(Bundle::read);
        let Some(bundle) = bundle.as_ref().filter(|bundle| !bundle.is_due(&self.names, now)) else {
            let new = Bundle::issue(&self.names, now, bundle.as_ref())?;
            self.store(secret, &new).await?;
            // The watch tells of it, or of the one that another replica has made.
            return Ok(false);
        };
        if served.as_ref() != Some(bundle) {
            // First whom to trust, then the certificate: the present one is trusted all the time.
            self.trust(seen, bundle).await?;
            if served.is_some() {
                // Until every API server has heard of it the one before is served on, whose authority stays trusted.
                sleep(SPREAD).await;
            }
            self.serve.send_replace(Some(bundle.certified()?));
            tracing::info!(secret = self.secret, until = %bundle.expires, "the webhook serves this certificate");
            *served = Some(bundle.clone());
        }
        self.trust(seen, bundle).await
    }

    async fn store(&self, secret: &Secret, bundle: &Bundle) -> Result<()> {
        let mut secret = secret.clone();
        secret.data.get_or_insert_default().extend(bundle.write());
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        // Its resourceVersion goes along: of two replicas only one makes the certificate.
        match api.replace(&self.secret, &PostParams::default(), &secret).await {
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
            answer => answer.map(|_| ()).context("can't write the Secret of the webhook"),
        }
    }

    /// Sees to it that the API server trusts the certificate. Gives back whether there is a configuration at all.
    async fn trust(&self, seen: &Seen, bundle: &Bundle) -> Result<bool> {
        let Some(configuration) = &seen.configuration else {
            return Ok(false);
        };
        let wanted = ByteString(bundle.ca.as_bytes().to_vec());
        // Another replica may have put a newer one there, which trusts this one, too: that is not to be taken back.
        let trusts = |authorities: &ByteString| {
            std::str::from_utf8(&authorities.0).is_ok_and(|authorities| bundle.is_trusted_by(authorities))
        };
        let untrusting: Vec<&str> = configuration
            .webhooks
            .iter()
            .filter(|webhook| !webhook.client_config.ca_bundle.as_ref().is_some_and(trusts))
            .map(|webhook| webhook.name.as_str())
            .collect();
        if untrusting.is_empty() {
            return Ok(true);
        }
        let webhooks: Vec<_> = untrusting
            .iter()
            .map(|name| json!({"name": name, "clientConfig": {"caBundle": wanted}}))
            .collect();
        let api: Api<Configuration> = Api::all(self.client.clone());
        // The list is merged by name: what the chart has put there stays.
        let patch = Patch::Strategic(json!({"webhooks": webhooks}));
        api.patch(&configuration.name_any(), &PatchParams::default(), &patch)
            .await
            .context("can't tell the API server whom to trust")?;
        Ok(true)
    }
}
