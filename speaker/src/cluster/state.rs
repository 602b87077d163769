//! ConfigurationState `speaker-NODE`: whether this speaker can use the configuration, and what is wrong with its node. Written on change only.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, Client, runtime::watcher};
use lodestone_crds::{COMPONENT_TYPE_LABEL, ConfigurationState, ConfigurationStateStatus, NODE_LABEL};
use lodestone_runtime::{
    clock,
    k8s::{
        condition::DesiredCondition,
        configuration_state::{self, Component, configuration_condition},
        decode_guard::Guarded,
        watch::{WatchEvent, changes},
    },
};
use tokio::sync::watch;

use crate::{
    core::{Facts, preflight::Problem},
    wire::message::NodeName,
};

/// How long a write that failed waits for its next try.
const RETRY: Duration = Duration::from_secs(5);

/// What the object says follows from these.
#[derive(Debug)]
pub struct Sources {
    /// The configuration, as a part of all facts.
    pub facts: watch::Receiver<Option<Arc<Facts>>>,
    /// What is wrong with the node.
    pub problems: watch::Receiver<Option<BTreeSet<Problem>>>,
}

/// Keeps the object as it should be, for ever, also when somebody deletes it: the pod that it belonged to, say.
pub async fn keep(
    client: Client,
    namespace: String,
    node: NodeName,
    owner: Option<OwnerReference>,
    mut sources: Sources,
) {
    let component = component(&node, owner);
    let api = Api::<Guarded<ConfigurationState>>::namespaced(client.clone(), &namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={}", component.name));
    let mut states = pin!(changes(api, only));
    // `None`: it is not known yet whether there is one.
    let mut known: Option<Option<ConfigurationStateStatus>> = None;
    let mut failed = false;
    loop {
        let wanted = conditions(&sources);
        if let (Some(current), Some(wanted)) = (&known, wanted)
            && let Some(status) = configuration_state::updated_status(current.as_ref(), &wanted, clock::wall())
        {
            let patch = configuration_state::status_patch(&status);
            match configuration_state::write_status(&client, &namespace, &component, &patch).await {
                Ok(()) => known = Some(Some(status)),
                Err(error) => {
                    tracing::warn!(name = component.name, %error, "ConfigurationState could not be written; trying again");
                    failed = true;
                }
            }
        }
        tokio::select! {
            change = states.next() => match change {
                Some(WatchEvent::Applied(state)) => known = Some(state.status),
                Some(WatchEvent::Gone(_)) => known = Some(None),
                Some(WatchEvent::Synced) => { known.get_or_insert(None); }
                // One that can't be read is written anew.
                Some(WatchEvent::Undecodable(..)) => known = Some(None),
                None => return,
            },
            changed = sources.facts.changed() => if changed.is_err() { return },
            changed = sources.problems.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(RETRY), if failed => failed = false,
        }
    }
}

fn component(node: &NodeName, owner: Option<OwnerReference>) -> Component {
    let labels = [(COMPONENT_TYPE_LABEL, "speaker"), (NODE_LABEL, node)];
    Component {
        name: format!("speaker-{node}"),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        owner,
    }
}

/// The conditions as they should be; `None` before everything has been looked at.
fn conditions(sources: &Sources) -> Option<[DesiredCondition; 2]> {
    let facts = sources.facts.borrow().clone()?;
    let problems = sources.problems.borrow().clone()?;
    let passed = if problems.is_empty() { "Passed" } else { "NodeSettings" };
    let preflight = DesiredCondition {
        type_: "preflightPassed",
        holds: problems.is_empty(),
        reason: passed.to_owned(),
        message: problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        observed_generation: None,
    };
    // The name is MetalLB's.
    Some([
        configuration_condition("configReconcilerValid", &facts.config.refused),
        preflight,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_before_everything_was_looked_at_and_then_what_is_wrong() {
        let (facts, receiver) = watch::channel(None);
        let (problems, found) = watch::channel(None);
        let sources = Sources {
            facts: receiver,
            problems: found,
        };
        assert!(conditions(&sources).is_none());
        facts.send_replace(Some(Arc::new(Facts::default())));
        assert!(conditions(&sources).is_none());
        problems.send_replace(Some(BTreeSet::new()));
        assert!(
            conditions(&sources)
                .unwrap()
                .iter()
                .all(|condition| condition.holds && condition.message.is_empty())
        );
        let interface = "lan0".to_owned();
        problems.send_replace(Some([Problem::HearsNoBroadcast { interface }].into()));
        let [configuration, preflight] = conditions(&sources).unwrap();
        assert!(configuration.holds && !preflight.holds);
        assert!(
            preflight.message.contains("tcpdump -eni lan0 arp"),
            "{}",
            preflight.message
        );
    }
}
