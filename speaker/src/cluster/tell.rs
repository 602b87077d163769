//! Tells users what has happened to the addresses of their Services: events on them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use lodestone_crds::ObjectKey;
use lodestone_runtime::k8s::events::{Events, Note};
use tokio::sync::{mpsc, watch};

use crate::core::Happening;

/// The uids of Services, which events are found by.
pub type Uids = watch::Receiver<BTreeMap<ObjectKey, String>>;

/// Tells whatever happens, until the driver is gone.
pub async fn tell(events: Events, uids: Uids, mut happened: mpsc::UnboundedReceiver<Happening>) {
    while let Some(happening) = happened.recv().await {
        let Some((services, note)) = note(&happening) else {
            continue;
        };
        for service in services {
            events.send(reference(service, &uids), "Announce", &note);
        }
    }
}

/// What an event says, and of which Services.
fn note(happening: &Happening) -> Option<(&[ObjectKey], Note)> {
    let (services, warning, reason) = match happening {
        // That a Service is announced for the first time the event nodeAssigned says.
        Happening::Taken { from: None, .. } | Happening::Peer { .. } | Happening::StandsIn { .. } => return None,
        Happening::Taken { services, .. } => (services, false, "ownerMoved"),
        Happening::Conflict { services, .. } => (services, true, "addressConflict"),
        Happening::Nobody { services, .. } => (services, true, "announceFailed"),
    };
    let text = happening.to_string();
    Some((services, Note { warning, reason, text }))
}

/// What an event about a Service is about.
#[must_use]
pub fn reference(service: &ObjectKey, uids: &Uids) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Service".to_owned()),
        namespace: Some(service.namespace.clone()),
        name: Some(service.name.clone()),
        uid: uids.borrow().get(service).cloned(),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::core::{eligibility::Reason, speaker::Cause};

    use super::*;

    #[test]
    fn users_are_told_of_moves_conflicts_and_addresses_that_nobody_may_announce_and_of_nothing_else() {
        let services = vec![ObjectKey::new("n", "a")];
        let address = "192.0.2.1".parse().unwrap();
        let taken = |from: Option<&str>| Happening::Taken {
            address,
            services: services.clone(),
            from: from.map(Into::into),
            cause: Cause::NodeGone,
        };
        let text = |happening: &Happening| note(happening).map(|(_, note)| (note.warning, note.reason, note.text));
        assert_eq!(text(&taken(None)), None);
        let moved = "192.0.2.1 moves here from node w1: the node is silent".to_owned();
        assert_eq!(text(&taken(Some("w1"))), Some((false, "ownerMoved", moved)));
        let conflict = Happening::Conflict {
            address,
            services: services.clone(),
            mac: pnet_base::MacAddr(2, 0, 0, 0, 0, 9),
            announced: false,
        };
        let used = "192.0.2.1 is used by 02:00:00:00:00:09, which is no node of the cluster; it is not announced";
        assert_eq!(text(&conflict), Some((true, "addressConflict", used.to_owned())));
        let nobody = Happening::Nobody {
            address,
            services: services.clone(),
            reasons: [
                ("w1".into(), Reason::ExcludedByLabel),
                ("w2".into(), Reason::NoInterface),
            ]
            .into(),
        };
        let (warning, reason, text) = text(&nobody).unwrap();
        assert!(warning && reason == "announceFailed");
        assert!(
            text.contains("w1: it has the label node.kubernetes.io/exclude-from-external-load-balancers; w2: "),
            "{text}"
        );
    }
}
