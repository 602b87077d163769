//! Events on Services: what has happened to their addresses.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use lodestone_crds::ObjectKey;
use lodestone_runtime::k8s::events::{EventContent, Events};
use lodestone_speaker_core::{Event, OwnershipCause};
use tokio::sync::{mpsc, watch};

/// What the speaker was doing, in every event that it sends.
pub(super) const ACTION: &str = "Announce";

/// The UIDs of Services. `kubectl describe` finds events by the UID.
pub(crate) type Uids = watch::Receiver<BTreeMap<ObjectKey, String>>;

/// The reason of an event on a Service, by which programs tell events apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServiceEventReason {
    /// A node announces the Service. MetalLB's name.
    NodeAssigned,
    /// An address moved from one node to another.
    OwnerMoved,
    /// An address moved to a node that was missing when its owner took it.
    Rebalanced,
    /// A foreign host, or another node, uses an address of the Service.
    AddressConflict,
    /// No node is eligible to announce an address.
    AnnounceFailed,
}

impl ServiceEventReason {
    /// The reason as it stands in the event.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NodeAssigned => "nodeAssigned",
            Self::OwnerMoved => "OwnerMoved",
            Self::Rebalanced => "Rebalanced",
            Self::AddressConflict => "AddressConflict",
            Self::AnnounceFailed => "AnnounceFailed",
        }
    }

    /// Whether a user should act on it.
    pub(super) const fn is_warning(self) -> bool {
        match self {
            Self::NodeAssigned | Self::OwnerMoved | Self::Rebalanced => false,
            Self::AddressConflict | Self::AnnounceFailed => true,
        }
    }

    /// An event with this reason.
    pub(super) const fn with_text(self, text: String) -> EventContent {
        EventContent {
            warning: self.is_warning(),
            reason: self.as_str(),
            text,
        }
    }
}

/// Sends an event for each user event of the core. Ends when the driver has ended.
pub(crate) async fn send_user_events(events: Events, uids: Uids, mut user_events: mpsc::Receiver<Event>) {
    while let Some(event) = user_events.recv().await {
        let Some((services, reason)) = services_and_reason(&event) else {
            continue;
        };
        let content = reason.with_text(event.to_string());
        for service in services {
            events.send(reference(service, &uids), ACTION, &content);
        }
    }
}

/// The Services that get an event, and its reason; `None` if it concerns no Service.
fn services_and_reason(event: &Event) -> Option<(&[ObjectKey], ServiceEventReason)> {
    let (services, reason) = match event {
        // The first announcement of a Service has the event nodeAssigned.
        Event::OwnershipTaken { from: None, .. } | Event::PeerPhaseChanged { .. } | Event::DeputyChanged { .. } => {
            return None;
        }
        Event::OwnershipTaken {
            services,
            cause: OwnershipCause::Rebalanced,
            ..
        } => (services, ServiceEventReason::Rebalanced),
        Event::OwnershipTaken { services, .. } => (services, ServiceEventReason::OwnerMoved),
        Event::ForeignConflict { services, .. } | Event::PeerConflict { services, .. } => {
            (services, ServiceEventReason::AddressConflict)
        }
        Event::NoEligibleNode { services, .. } => (services, ServiceEventReason::AnnounceFailed),
    };
    Some((services, reason))
}

/// A reference to a Service, with its UID if that is known.
#[must_use]
pub(super) fn reference(service: &ObjectKey, uids: &Uids) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Service".to_owned()),
        namespace: Some(service.namespace().to_owned()),
        name: Some(service.name().to_owned()),
        uid: uids.borrow().get(service).cloned(),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use lodestone_speaker_core::{ForeignConflictResponse, IneligibilityReason, OwnershipCause};

    use super::*;

    #[test]
    fn only_moves_conflicts_and_missing_nodes_become_events() {
        let services = vec![ObjectKey::new("n", "a")];
        let address = "192.0.2.1".parse().unwrap();
        let taken = |from: Option<&str>, cause| Event::OwnershipTaken {
            address,
            to: "w1".into(),
            services: services.clone(),
            from: from.map(Into::into),
            cause,
        };
        let conflict = Event::ForeignConflict {
            address,
            owner: "w1".into(),
            services: services.clone(),
            mac: pnet_base::MacAddr(2, 0, 0, 0, 0, 9),
            response: ForeignConflictResponse::HoldsBack,
            knows_peers: true,
        };
        let no_node = Event::NoEligibleNode {
            address,
            services: services.clone(),
            reasons: [("w1".into(), IneligibilityReason::ExcludedByLabel)].into(),
        };
        let peer = Event::PeerPhaseChanged {
            node: "w1".into(),
            failed: true,
        };
        for (event, expected) in [
            (taken(None, OwnershipCause::New), None),
            (peer, None),
            (taken(Some("w1"), OwnershipCause::NodeDown), Some(("OwnerMoved", false))),
            (
                taken(Some("w1"), OwnershipCause::Rebalanced),
                Some(("Rebalanced", false)),
            ),
            (conflict, Some(("AddressConflict", true))),
            (no_node, Some(("AnnounceFailed", true))),
        ] {
            let actual = services_and_reason(&event);
            assert_eq!(
                actual.map(|(_, reason)| (reason.as_str(), reason.is_warning())),
                expected,
                "{event}"
            );
            assert!(actual.is_none_or(|(concerned, _)| concerned == services), "{event}");
        }
    }
}
