//! Events on the Node of this speaker: the problems that its preflight has found.
//!
//! The ConfigurationState has the same texts, but a user must know of it. `kubectl describe node`
//! shows the events.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::ObjectReference;
use lodestone_runtime::{
    clock,
    k8s::events::{EventContent, Events},
};
use lodestone_speaker_core::{NodeName, NodeProblem};
use tokio::{sync::watch, time::sleep};

/// What the speaker was doing, in every event about its node.
const ACTION: &str = "Preflight";

/// The reason of an event about a problem, by which programs tell events apart.
const REASON: &str = "PreflightFailed";

/// How long a problem lasts until an event reports it. While nodes start, some last for a moment.
const PERSISTENT: Duration = Duration::from_secs(30);

/// Sends a Warning for each problem that lasts. Ends when the driver has ended.
pub(crate) async fn send_node_events(
    events: Events,
    node: NodeName,
    mut problems: watch::Receiver<Option<BTreeSet<NodeProblem>>>,
) {
    let mut current = CurrentProblems::default();
    loop {
        let now = clock::now();
        let known = problems.borrow_and_update().clone().unwrap_or_default();
        for problem in current.persistent(now, &known) {
            events.send(reference(&node), ACTION, &event_content(&problem));
        }
        let wait = current.next_due().map(|due| due.saturating_duration_since(now));
        let due = async {
            match wait {
                Some(wait) => sleep(wait).await,
                None => pending().await,
            }
        };
        tokio::select! {
            changed = problems.changed() => if changed.is_err() { return },
            () = due => {}
        }
    }
}

/// The present problems, each with the time at which an event reports it; `None` afterwards.
#[derive(Debug, Default)]
struct CurrentProblems(BTreeMap<NodeProblem, Option<Instant>>);

impl CurrentProblems {
    /// Takes over the present problems. Returns those that an event must report now.
    fn persistent(&mut self, now: Instant, present: &BTreeSet<NodeProblem>) -> Vec<NodeProblem> {
        self.0.retain(|problem, _| present.contains(problem));
        for problem in present {
            // mutation: passing-problem-reported
            self.0.entry(problem.clone()).or_insert(Some(now + PERSISTENT));
        }
        let due = self.0.iter_mut().filter(|(_, due)| due.is_some_and(|due| due <= now));
        due.map(|(problem, due)| {
            *due = None;
            problem.clone()
        })
        .collect()
    }

    /// When an event must report the next problem.
    fn next_due(&self) -> Option<Instant> {
        self.0.values().copied().flatten().min()
    }
}

fn event_content(problem: &NodeProblem) -> EventContent {
    EventContent {
        warning: true,
        reason: REASON,
        text: problem.to_string(),
    }
}

/// A reference to the Node. As in the kubelet's events, its UID is its name.
fn reference(node: &NodeName) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(node.to_string()),
        uid: Some(node.to_string()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_that_lasts_is_reported_once() {
        let problem = |interface: &str| NodeProblem::HearsNoBroadcast {
            interface: interface.to_owned(),
        };
        let (first, second) = (problem("lan0"), problem("lan1"));
        let start = clock::now();
        let mut current = CurrentProblems::default();
        let mut reported = |seconds, problems: &[&NodeProblem]| {
            let present = problems.iter().copied().cloned().collect();
            current.persistent(start + Duration::from_secs(seconds), &present)
        };
        assert_eq!(reported(0, &[&first]), []);
        assert_eq!(reported(29, &[&first, &second]), []);
        assert_eq!(reported(30, &[&first, &second]), std::slice::from_ref(&first));
        assert_eq!(reported(40, &[&first]), [], "the second one did not last");
        assert_eq!(reported(60, &[&first, &second]), [], "and begins again");
        assert_eq!(reported(90, &[&first, &second]), std::slice::from_ref(&second));
        assert_eq!(current.next_due(), None);
    }

    #[test]
    fn next_due_is_that_of_the_oldest_problem() {
        let problem = NodeProblem::HearsNoBroadcast {
            interface: "lan0".to_owned(),
        };
        let now = clock::now();
        let mut current = CurrentProblems::default();
        assert_eq!(current.next_due(), None);
        current.persistent(now, &[problem].into());
        assert_eq!(current.next_due(), Some(now + PERSISTENT));
    }
}
