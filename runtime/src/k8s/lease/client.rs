//! Holding a Lease at the API server.

use std::time::{Duration, Instant};

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::{sync::watch, time::timeout};

use super::{Action, Elector, View};
use crate::{clock, k8s::client::with_time_limit};

/// How long it may take to give a Lease up: the process is about to end.
const LIMIT: Duration = Duration::from_secs(5);

/// A Lease at the API server.
#[derive(Clone)]
pub struct LeaseClient {
    api: Api<Lease>,
    name: String,
}

impl LeaseClient {
    /// The Lease `name` in `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
        }
    }

    async fn read(&self) -> Result<Option<Lease>, kube::Error> {
        with_time_limit(self.api.get_opt(&self.name)).await
    }

    /// Writes who holds it and who contends.
    async fn write(&self, lease: Option<Lease>, wanted: &View) -> Result<Lease, kube::Error> {
        let new = lease.is_none();
        let mut lease = lease.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        change(&mut lease, wanted);
        if new {
            with_time_limit(self.api.create(&PostParams::default(), &lease)).await
        } else {
            // Its resourceVersion goes along: of two that write only the first succeeds.
            with_time_limit(self.api.replace(&self.name, &PostParams::default(), &lease)).await
        }
    }

    /// Gives the Lease up, if `me` has it: another one may begin at once. If `me` contends for it, it does so no longer.
    pub async fn release(&self, me: &str) {
        let released = async {
            match self.try_release(me).await {
                // A renewal that was under way has landed in between.
                Err(kube::Error::Api(status)) if status.is_conflict() => self.try_release(me).await,
                answer => answer,
            }
        };
        match timeout(LIMIT, released).await {
            Ok(Ok(true)) => tracing::info!(lease = self.name, "the lease is given up"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "the lease could not be given up; it runs out"),
            Err(_) => tracing::warn!(lease = self.name, "the lease could not be given up; it runs out"),
        }
    }

    /// Gives back whether it was ours.
    async fn try_release(&self, me: &str) -> Result<bool, kube::Error> {
        let Some(lease) = self.read().await? else {
            return Ok(false);
        };
        let mut wanted = view(&lease);
        let held = wanted.holder == me;
        if held {
            wanted.holder.clear();
            wanted.duration = Duration::from_secs(1);
        } else if wanted.contender == me {
            wanted.contender.clear();
        } else {
            return Ok(false);
        }
        self.write(Some(lease), &wanted).await.map(|_| held)
    }
}

/// The annotation that says who wants a Lease that another one holds.
const CONTENDER: &str = "lodestone.io/candidate";

fn change(lease: &mut Lease, wanted: &View) {
    let annotations = lease.metadata.annotations.get_or_insert_default();
    if wanted.contender.is_empty() {
        annotations.remove(CONTENDER);
    } else {
        annotations.insert(CONTENDER.to_owned(), wanted.contender.clone());
    }
    let spec = lease.spec.get_or_insert_default();
    let now = MicroTime(clock::wall());
    if spec.holder_identity.as_deref() != Some(&wanted.holder) {
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        spec.acquire_time = Some(now.clone());
    }
    spec.holder_identity = Some(wanted.holder.clone());
    spec.renew_time = Some(now);
    spec.lease_duration_seconds = Some(i32::try_from(wanted.duration.as_secs()).unwrap_or(i32::MAX));
}

fn view(lease: &Lease) -> View {
    let spec = lease.spec.as_ref();
    let seconds = spec
        .and_then(|spec| spec.lease_duration_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok());
    let annotations = lease.metadata.annotations.as_ref();
    View {
        holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        duration: Duration::from_secs(seconds.unwrap_or(15)),
        contender: annotations
            .and_then(|annotations| annotations.get(CONTENDER).cloned())
            .unwrap_or_default(),
    }
}

/// Holds the Lease, or waits for it, for ever. `leads` says until when this process may work, if it may: whoever works looks at the clock,
/// since this task may be held up as all others may.
pub async fn run_election(client: LeaseClient, mut elector: Elector, leads: watch::Sender<Option<Instant>>) {
    let mut failing = false;
    loop {
        let wait = match round(&client, &mut elector).await {
            Ok(wait) => {
                if std::mem::take(&mut failing) {
                    tracing::info!(lease = client.name, "the lease can be read and written again");
                }
                wait
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(lease = client.name, %error, "the lease can't be read or written; trying again");
                }
                elector.timing().retry
            }
        };
        let until = elector.leads_until().filter(|until| clock::now() < *until);
        leads.send_if_modified(|known| {
            if known.is_some() != until.is_some() {
                let what = if until.is_some() {
                    "the lease is ours: this replica works"
                } else {
                    "the lease is lost: this replica waits"
                };
                tracing::info!(lease = client.name, "{what}");
            }
            let changed = *known != until;
            *known = until;
            changed
        });
        let left = until.map(|until| until.saturating_duration_since(clock::now()));
        tokio::time::sleep(left.map_or(wait, |left| wait.min(left))).await;
    }
}

/// Looks at the Lease once, and writes it if it is to be. Gives back how long to wait before the next time.
async fn round(client: &LeaseClient, elector: &mut Elector) -> Result<Duration, kube::Error> {
    let asked = clock::now();
    let lease = client.read().await?;
    let seen = lease.as_ref().map(view);
    let action = elector.step(asked, clock::now(), seen.as_ref());
    let contender = seen.map(|seen| (seen.contender, seen.holder, seen.duration));
    let (contender, holder, duration) = contender.unwrap_or_default();
    let mine = |contender| View {
        holder: elector.me().to_owned(),
        version: String::new(),
        duration: elector.timing().duration,
        contender,
    };
    let wanted = match action {
        Action::Wait(wait) => return Ok(wait),
        Action::Create => mine(String::new()),
        Action::Take { keep_contender } => mine(if keep_contender { contender } else { String::new() }),
        Action::Contend => View {
            holder,
            duration,
            ..mine(elector.me().to_owned())
        },
    };
    let started = clock::now();
    match client.write(lease, &wanted).await {
        Ok(_) if action == Action::Contend => Ok(elector.timing().retry),
        Ok(_) => {
            elector.won(started);
            Ok(elector.timing().retry)
        }
        // Another one was faster: what it wrote says what to do.
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(Duration::ZERO),
        Err(error) => Err(error),
    }
}
