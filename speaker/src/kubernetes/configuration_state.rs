//! The ConfigurationState `speaker-NODE`: whether this speaker can use the configuration, and
//! problems of its node. It is written on changes only.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use futures::StreamExt;
use kube::{Api, Client, runtime::watcher};
use lodestone_crds::{COMPONENT_TYPE_LABEL, ConfigurationState, ConfigurationStateStatus, NODE_LABEL, ResourceChange};
use lodestone_runtime::{
    clock,
    k8s::{
        condition::DesiredCondition,
        configuration_state::{self, Component, configuration_condition},
        decode_guard::Guarded,
        watch::changes,
    },
};
use lodestone_speaker_core::{ClusterSnapshot, NodeName, NodeProblem};
use tokio::sync::watch;

use super::owner_pod::OwnerPod;

/// The pause before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Writes the object of this speaker.
pub(crate) struct StateWriter {
    /// The API server.
    pub(crate) client: Client,
    /// The namespace of the object.
    pub(crate) namespace: String,
    /// The name of this node.
    pub(crate) node: NodeName,
    /// The pod that owns the object.
    pub(crate) pod: Option<OwnerPod>,
    /// What the object reports.
    pub(crate) sources: StateSources,
}

/// What the conditions of the object depend on.
#[derive(Debug)]
pub(crate) struct StateSources {
    /// The snapshots, which contain the configuration.
    pub(crate) snapshots: watch::Receiver<Option<Arc<ClusterSnapshot>>>,
    /// The problems of this node.
    pub(crate) problems: watch::Receiver<Option<BTreeSet<NodeProblem>>>,
}

/// The status at the API server, as far as the watch has reported it.
#[derive(Debug)]
enum CurrentStatus {
    /// The watch has not synced yet.
    Unknown,
    /// There is no object, or it has no status, or it cannot be decoded.
    Absent,
    /// The object has this status.
    Present(ConfigurationStateStatus),
}

impl CurrentStatus {
    /// Applies a watch event.
    fn apply(&mut self, event: ResourceChange<ConfigurationState>) {
        *self = match (event, &self) {
            (ResourceChange::Applied(state), _) => state.status.map_or(Self::Absent, Self::Present),
            // An object that cannot be decoded is overwritten.
            (ResourceChange::Gone(_) | ResourceChange::Undecodable(..), _)
            | (ResourceChange::Synced, Self::Unknown) => Self::Absent,
            (ResourceChange::Synced, _) => return,
        };
    }

    /// Returns the status to write, or `None` if nothing must be written or too little is known.
    fn updated(&self, desired: &[DesiredCondition]) -> Option<ConfigurationStateStatus> {
        let current = match self {
            Self::Unknown => return None,
            Self::Absent => None,
            Self::Present(status) => Some(status),
        };
        configuration_state::updated_status(current, desired, clock::wall())
    }
}

impl StateWriter {
    /// Keeps the object up to date until the driver or the watcher ends. The watch of the object
    /// notices when somebody deletes it, for example together with an earlier pod.
    pub(crate) async fn run(mut self) {
        let component = self.component();
        let api = Api::<Guarded<ConfigurationState>>::namespaced(self.client.clone(), &self.namespace);
        let this_object = watcher::Config::default().fields(&format!("metadata.name={}", component.name));
        let mut states = pin!(changes(api, this_object));
        let mut current = CurrentStatus::Unknown;
        let mut failed = false;
        loop {
            if let Some(status) = self.sources.conditions().and_then(|desired| current.updated(&desired)) {
                match self.write(&component, &status).await {
                    Ok(()) => current = CurrentStatus::Present(status),
                    Err(error) => {
                        tracing::warn!(name = component.name, %error, "cannot write the ConfigurationState; retrying");
                        failed = true;
                    }
                }
            }
            tokio::select! {
                event = states.next() => match event {
                    Some(event) => current.apply(event),
                    None => return,
                },
                changed = self.sources.snapshots.changed() => if changed.is_err() { return },
                changed = self.sources.problems.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY), if failed => failed = false,
            }
        }
    }

    async fn write(&self, component: &Component, status: &ConfigurationStateStatus) -> Result<(), kube::Error> {
        let patch = configuration_state::status_patch(status);
        configuration_state::write_status(&self.client, &self.namespace, component, &patch).await
    }

    fn component(&self) -> Component {
        let labels = [(COMPONENT_TYPE_LABEL, "speaker"), (NODE_LABEL, self.node.as_str())];
        Component {
            name: format!("speaker-{}", self.node),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            owner: self.pod.as_ref().map(OwnerPod::owner_reference),
        }
    }
}

impl StateSources {
    /// The conditions that the object should have; `None` until both sources have a value.
    fn conditions(&self) -> Option<[DesiredCondition; 2]> {
        let snapshot = self.snapshots.borrow().clone()?;
        let problems = self.problems.borrow().clone()?;
        // The type of this condition is MetalLB's.
        let configuration = configuration_condition("configReconcilerValid", &snapshot.config.refused);
        let is_silence = |problem: &NodeProblem| matches!(problem, NodeProblem::NoPeerHeard);
        let reason = if problems.is_empty() {
            "Passed"
        } else if problems.iter().all(is_silence) {
            "NoPeerHeard"
        } else {
            "NodeSettings"
        };
        let preflight = DesiredCondition {
            type_: "preflightPassed",
            holds: problems.is_empty(),
            reason: reason.to_owned(),
            message: problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            observed_generation: None,
        };
        Some([configuration, preflight])
    }
}

#[cfg(test)]
mod tests {
    use lodestone_crds::ObjectKey;

    use super::*;

    #[test]
    fn no_condition_before_both_sources_have_a_value() {
        let (snapshots, snapshot_receiver) = watch::channel(None);
        let (problems, problem_receiver) = watch::channel(None);
        let sources = StateSources {
            snapshots: snapshot_receiver,
            problems: problem_receiver,
        };
        assert!(sources.conditions().is_none());
        snapshots.send_replace(Some(Arc::new(ClusterSnapshot::default())));
        assert!(sources.conditions().is_none());
        problems.send_replace(Some(BTreeSet::new()));
        let passed = sources.conditions().unwrap();
        assert!(
            passed
                .iter()
                .all(|condition| condition.holds && condition.message.is_empty())
        );
        let problem = NodeProblem::HearsNoBroadcast {
            interface: "lan0".to_owned(),
        };
        let text = problem.to_string();
        problems.send_replace(Some([problem].into()));
        let [configuration, preflight] = sources.conditions().unwrap();
        assert!(configuration.holds && !preflight.holds);
        assert_eq!((preflight.reason.as_str(), preflight.message), ("NodeSettings", text));
        problems.send_replace(Some([NodeProblem::NoPeerHeard].into()));
        let [_, preflight] = sources.conditions().unwrap();
        assert_eq!((preflight.reason.as_str(), preflight.holds), ("NoPeerHeard", false));
    }

    #[test]
    fn nothing_is_written_before_the_first_list_is_complete() {
        let desired = [configuration_condition("configReconcilerValid", &[])];
        let mut current = CurrentStatus::Unknown;
        assert!(current.updated(&desired).is_none());
        current.apply(ResourceChange::Synced);
        let state = ConfigurationState {
            status: Some(current.updated(&desired).unwrap()),
            ..ConfigurationState::default()
        };
        current.apply(ResourceChange::Applied(state));
        current.apply(ResourceChange::Synced);
        assert!(current.updated(&desired).is_none(), "the object is up to date");
        current.apply(ResourceChange::Gone(ObjectKey::new("n", "a")));
        assert!(current.updated(&desired).is_some(), "a deleted object is written again");
    }
}
