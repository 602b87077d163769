//! What the ServiceL2Status objects of this node should say.

use std::collections::{BTreeMap, BTreeSet};

use lodestone_crds::ObjectKey;
use lodestone_speaker_core::{NodeName, OwnedAddress};

/// The Services that this node announces.
pub(super) type AnnouncedServices = BTreeMap<ObjectKey, ServiceAnnouncement>;

/// How this node announces a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServiceAnnouncement {
    /// The interfaces, where advertisements restrict them.
    pub(super) interfaces: BTreeSet<String>,
    /// The nodes that announce another address of the Service.
    pub(super) co_owners: BTreeSet<NodeName>,
}

/// Groups the addresses that this node announces by Service.
pub(super) fn announced_services(owned: &[OwnedAddress]) -> AnnouncedServices {
    let mut services = AnnouncedServices::new();
    for owned in owned {
        for service in &owned.services {
            let announcement = services.entry(service.clone()).or_default();
            announcement
                .interfaces
                .extend(owned.interfaces.iter().flatten().cloned());
            announcement.co_owners.extend(owned.co_owners.iter().cloned());
        }
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_service_become_one_announcement() {
        let owned = |address: &str, interface: &str, other: &str| OwnedAddress {
            address: address.parse().unwrap(),
            services: vec![ObjectKey::new("n", "a")],
            interfaces: Some(vec![interface.to_owned()]),
            co_owners: [NodeName::from(other)].into(),
        };
        let services = announced_services(&[owned("192.0.2.1", "lan0", "w1"), owned("2001:db8::1", "lan1", "w2")]);
        let expected = ServiceAnnouncement {
            interfaces: ["lan0".to_owned(), "lan1".to_owned()].into(),
            co_owners: [NodeName::from("w1"), NodeName::from("w2")].into(),
        };
        assert_eq!(services, [(ObjectKey::new("n", "a"), expected)].into());
    }
}
