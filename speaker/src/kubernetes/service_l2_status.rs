//! Reports which node announces a Service: ServiceL2Status objects, and the event nodeAssigned on
//! the Service. Objects are written on changes only.

mod announcement;
mod object;
mod sync;

use std::{collections::BTreeSet, fmt, time::Duration};

use kube::{Api, Client, api::ListParams};
use lodestone_crds::{ObjectKey, ServiceL2Status};
use lodestone_runtime::k8s::events::Events;
use tokio::sync::watch;

pub use super::owner_pod::OwnerPod;

use lodestone_speaker_core::{NodeName, OwnedAddress, RecordedOwners};

use super::events::{ACTION, ServiceEventReason, Uids, reference};
use announcement::{AnnouncedServices, announced_services};

/// The pause before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The time from a change to the first re-check of the objects. The previous and the next owner
/// clean up, too, and may delete what this node has written.
const FIRST_RECHECK: Duration = Duration::from_secs(5);

/// The factor between two intervals of re-checks that find nothing to do.
const RECHECK_FACTOR: u32 = 4;

/// The longest interval between two re-checks. They never stop, so deleted objects are restored.
const SLOWEST_RECHECK: Duration = Duration::from_secs(300);

/// Writes ServiceL2Status objects and sends events.
pub struct Reporter {
    /// The API server.
    pub client: Client,
    /// The namespace of the objects.
    pub namespace: String,
    /// The name of this node.
    pub node: NodeName,
    /// The pod that owns the objects.
    pub pod: Option<OwnerPod>,
    /// The queue of events.
    pub events: Events,
    /// The UIDs of Services, for events.
    pub uids: Uids,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("namespace", &self.namespace)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// When to re-check the objects without a change.
#[derive(Debug)]
struct RecheckTimer {
    /// `None` until something was announced for the first time.
    delay: Option<Duration>,
    interval: Duration,
}

impl RecheckTimer {
    const fn new() -> Self {
        Self {
            delay: None,
            interval: FIRST_RECHECK,
        }
    }

    /// Sets the delay after a round that has failed.
    const fn set_failed(&mut self) {
        self.delay = Some(RETRY);
    }

    /// Sets the delay after a round. `changed` is whether the announced addresses or an object
    /// changed.
    fn set_succeeded(&mut self, changed: bool) {
        self.interval = if changed {
            FIRST_RECHECK
        } else {
            SLOWEST_RECHECK.min(self.interval * RECHECK_FACTOR)
        };
        self.delay = Some(self.interval);
    }
}

impl Reporter {
    /// Reads which nodes announced each Service before, from the objects of all nodes.
    ///
    /// # Errors
    /// When the API server does not respond or rejects the request.
    pub async fn recorded(client: &Client, namespace: &str) -> Result<RecordedOwners, kube::Error> {
        let all = Api::<ServiceL2Status>::namespaced(client.clone(), namespace)
            .list(&ListParams::default())
            .await?;
        let mut recorded = RecordedOwners::new();
        for status in all.items.into_iter().filter_map(|object| object.status) {
            if let (Some(namespace), Some(name), Some(node)) =
                (status.service_namespace, status.service_name, status.node)
            {
                let nodes = recorded.entry(ObjectKey::new(&namespace, &name)).or_default();
                nodes.insert(NodeName::from(node.as_str()));
            }
        }
        Ok(recorded)
    }

    /// Reports whenever the announced addresses change, until the driver ends.
    pub async fn run(self, mut owned: watch::Receiver<Option<Vec<OwnedAddress>>>) {
        // What the objects of this node say; `None` while that is not known.
        let mut written: Option<AnnouncedServices> = None;
        let mut assigned = BTreeSet::new();
        let mut recheck = RecheckTimer::new();
        let mut failing = false;
        loop {
            let changed = tokio::select! {
                changed = owned.changed() => match changed {
                    Ok(()) => true,
                    Err(_) => return,
                },
                () = tokio::time::sleep(recheck.delay.unwrap_or_default()), if recheck.delay.is_some() => false,
            };
            let Some(wanted) = owned.borrow_and_update().as_deref().map(announced_services) else {
                continue;
            };
            let result = self.sync(&mut written, &wanted, !changed).await;
            for service in wanted.keys().filter(|service| !assigned.contains(*service)) {
                self.send_node_assigned(service);
            }
            assigned = wanted.into_keys().collect();
            // One line when writing begins to fail and one when it works again.
            match &result {
                Err(error) if !failing => tracing::warn!(%error, "cannot write ServiceL2Status objects; retrying"),
                Ok(_) if failing => tracing::info!("ServiceL2Status objects can be written again"),
                _ => {}
            }
            failing = result.is_err();
            match result {
                Err(_) => recheck.set_failed(),
                Ok(wrote) => recheck.set_succeeded(changed || wrote),
            }
        }
    }

    fn send_node_assigned(&self, service: &ObjectKey) {
        // The text is MetalLB's.
        let text = format!("announcing from node {:?} with protocol \"layer2\"", self.node.as_str());
        let note = ServiceEventReason::NodeAssigned.with_text(text);
        self.events.send(reference(service, &self.uids), ACTION, &note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rechecks_slow_down_until_something_changes() {
        let mut recheck = RecheckTimer::new();
        assert_eq!(recheck.delay, None);
        recheck.set_succeeded(true);
        let mut seconds = Vec::new();
        for _ in 0..5 {
            seconds.push(recheck.delay.unwrap().as_secs());
            recheck.set_succeeded(false);
        }
        assert_eq!(seconds, [5, 20, 80, 300, 300]);
        recheck.set_failed();
        assert_eq!(recheck.delay, Some(RETRY));
        recheck.set_succeeded(true);
        assert_eq!(recheck.delay, Some(FIRST_RECHECK));
    }
}
