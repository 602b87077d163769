//! The writes that run in the background.

use std::time::Duration;

use kube::Client;
use lodestone_controller_core::{Job, ObjectNotice, ServiceView};
use lodestone_crds::ObjectKey;

use super::owner_lookup::OwnerLookup;
use crate::status::{desired::StatusWrite, service, write};

/// How a background task ended.
pub(super) enum Completion {
    /// The status of a Service was written.
    Written(Box<ServiceView>),
    /// The status of a Service could not be written.
    WriteFailed(ObjectKey, kube::Error),
    /// The wait after a failed write is over.
    RetryDue(ObjectKey),
    /// The statuses of configuration objects are due.
    StatusesDue,
    /// The statuses of configuration objects were written.
    StatusesWritten {
        /// The events that belong to the statuses written.
        events: Vec<ObjectNotice>,
        /// Whether all of them could be written.
        is_complete: bool,
    },
}

pub(super) async fn write_service(client: Client, class: String, job: Job) -> Completion {
    match service::write(&client, &job).await {
        Ok(written) => Completion::Written(Box::new(service::view(written, &class))),
        Err(error) => Completion::WriteFailed(job.key, error),
    }
}

pub(super) async fn write_statuses(
    client: Client,
    namespace: String,
    owner: OwnerLookup,
    outdated: Vec<StatusWrite>,
) -> Completion {
    let (mut is_complete, mut events) = (true, Vec::new());
    let owner = owner.await;
    for status in outdated {
        match write::apply(&client, &namespace, owner.as_ref(), &status).await {
            Ok(()) => events.extend(status.event),
            Err(error) => {
                let (target, name) = (status.target, status.name);
                tracing::warn!(?target, name, %error, "cannot write the status; retrying");
                is_complete = false;
            }
        }
    }
    Completion::StatusesWritten { events, is_complete }
}

pub(super) fn log_failure(key: &ObjectKey, error: &kube::Error, wait: Duration) {
    match error {
        // Another writer changed or deleted the Service. The watch reports how.
        kube::Error::Api(status) if status.is_conflict() || status.is_not_found() => {
            tracing::debug!(service = %key, %error, "the Service changed before its status was written");
        }
        _ => tracing::warn!(service = %key, %error, ?wait, "cannot write the status; retrying"),
    }
}
