//! Reads and writes a Lease at the API server.

use std::time::Duration;

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::{sync::watch, time::timeout};

use super::elector::{Action, Elector, Leadership, LeaseState};
use crate::{clock, k8s::client::with_time_limit};

/// The annotation that names the candidate.
const CANDIDATE: &str = "lodestone.io/candidate";

/// The longest time to release the Lease, because the process is about to exit.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// The duration of a Lease that does not state one, in seconds.
const DEFAULT_DURATION: u64 = 15;

/// Access to one Lease at the API server.
#[derive(Clone, Debug)]
pub struct LeaseClient {
    api: Api<Lease>,
    name: String,
}

impl LeaseClient {
    /// Names the Lease `name` in `namespace`, which may not exist yet.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
        }
    }

    /// Releases the Lease if `identity` holds it, so that another process can lead at once. If
    /// `identity` is the candidate, withdraws it. Failures are logged.
    pub async fn release(&self, identity: &str) {
        let release = async {
            match self.try_release(identity).await {
                // A renewal that was in flight has changed the version.
                Err(kube::Error::Api(status)) if status.is_conflict() => self.try_release(identity).await,
                result => result,
            }
        };
        let failed = "cannot release the Lease; it will expire";
        match timeout(RELEASE_TIMEOUT, release).await {
            Ok(Ok(true)) => tracing::info!(lease = self.name, "released the Lease"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "{failed}"),
            Err(_) => tracing::warn!(lease = self.name, "{failed}"),
        }
    }

    /// Returns whether `identity` was the holder.
    async fn try_release(&self, identity: &str) -> Result<bool, kube::Error> {
        let Some(lease) = self.read().await? else {
            return Ok(false);
        };
        let mut desired = state(&lease);
        let held = desired.holder == identity;
        if held {
            desired.holder.clear();
            desired.duration = Duration::from_secs(1);
        } else if desired.candidate == identity {
            desired.candidate.clear();
        } else {
            return Ok(false);
        }
        self.write(Some(lease), &desired).await.map(|_| held)
    }

    async fn read(&self) -> Result<Option<Lease>, kube::Error> {
        with_time_limit(self.api.get_opt(&self.name)).await
    }

    /// Writes the state `desired` into `lease`, or into a new Lease.
    async fn write(&self, lease: Option<Lease>, desired: &LeaseState) -> Result<Lease, kube::Error> {
        let new = lease.is_none();
        let mut lease = lease.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        set_state(&mut lease, desired);
        if new {
            with_time_limit(self.api.create(&PostParams::default(), &lease)).await
        } else {
            // The request carries the resourceVersion: of two concurrent writes only one succeeds.
            with_time_limit(self.api.replace(&self.name, &PostParams::default(), &lease)).await
        }
    }
}

fn set_state(lease: &mut Lease, desired: &LeaseState) {
    let annotations = lease.metadata.annotations.get_or_insert_default();
    if desired.candidate.is_empty() {
        annotations.remove(CANDIDATE);
    } else {
        annotations.insert(CANDIDATE.to_owned(), desired.candidate.clone());
    }
    let spec = lease.spec.get_or_insert_default();
    let now = MicroTime(clock::wall());
    if spec.holder_identity.as_deref() != Some(&desired.holder) {
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        spec.acquire_time = Some(now.clone());
    }
    spec.holder_identity = Some(desired.holder.clone());
    spec.renew_time = Some(now);
    spec.lease_duration_seconds = Some(i32::try_from(desired.duration.as_secs()).unwrap_or(i32::MAX));
}

fn state(lease: &Lease) -> LeaseState {
    let spec = lease.spec.as_ref();
    let seconds = spec
        .and_then(|spec| spec.lease_duration_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok());
    let annotations = lease.metadata.annotations.as_ref();
    LeaseState {
        holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
        candidate: annotations
            .and_then(|annotations| annotations.get(CANDIDATE).cloned())
            .unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        duration: Duration::from_secs(seconds.unwrap_or(DEFAULT_DURATION)),
    }
}

/// Takes part in the election until the future is dropped.
///
/// Sends the leadership of this process, or `None` while it is a standby. A leader must compare its
/// end with the clock before each write, because this task may be delayed like any other. A
/// receiver may miss the `None` between two terms, so it must compare the terms.
pub async fn run_election(client: LeaseClient, mut elector: Elector, leadership: watch::Sender<Option<Leadership>>) {
    let mut failing = false;
    loop {
        let wait = match take_turn(&client, &mut elector).await {
            Ok(wait) => {
                if std::mem::take(&mut failing) {
                    tracing::info!(lease = client.name, "the Lease is accessible again");
                }
                wait
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(lease = client.name, %error, "cannot read or write the Lease; retrying");
                }
                elector.timing().retry_period
            }
        };
        let current = elector.leadership().filter(|it| clock::now() < it.until);
        publish(&client.name, current, &leadership);
        let left = current.map(|it| it.until.saturating_duration_since(clock::now()));
        tokio::time::sleep(left.map_or(wait, |left| wait.min(left))).await;
    }
}

/// Sends `current` if it is new, and logs the end and the start of a term.
fn publish(lease: &str, current: Option<Leadership>, leadership: &watch::Sender<Option<Leadership>>) {
    leadership.send_if_modified(|known| {
        let (ended, begun) = (known.map(|it| it.term), current.map(|it| it.term));
        if ended != begun {
            if let Some(term) = ended {
                tracing::info!(lease, term, "lost leadership");
            }
            if let Some(term) = begun {
                tracing::info!(lease, term, "became leader");
            }
        }
        let changed = *known != current;
        *known = current;
        changed
    });
}

/// Reads the Lease and writes it if the elector says so. Returns the delay before the next read.
async fn take_turn(client: &LeaseClient, elector: &mut Elector) -> Result<Duration, kube::Error> {
    let read_started = clock::now();
    let lease = client.read().await?;
    let seen = lease.as_ref().map(state);
    let action = elector.handle_lease(read_started, clock::now(), seen.as_ref());
    let seen = seen.unwrap_or_default();
    let held_by_us = |candidate| LeaseState {
        holder: elector.identity().to_owned(),
        candidate,
        version: String::new(),
        duration: elector.timing().lease_duration,
    };
    let desired = match action {
        Action::Wait(wait) => return Ok(wait),
        Action::Create | Action::Hold { keep_candidate: false } => held_by_us(String::new()),
        Action::Hold { keep_candidate: true } => held_by_us(seen.candidate),
        Action::Nominate => LeaseState {
            candidate: elector.identity().to_owned(),
            ..seen
        },
    };
    let write_started = clock::now();
    match client.write(lease, &desired).await {
        Ok(_) => {
            if action != Action::Nominate {
                elector.handle_held(write_started, clock::now());
            }
            Ok(elector.timing().retry_period)
        }
        // Another process wrote first: read at once what it wrote.
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(Duration::ZERO),
        Err(error) => Err(error),
    }
}
