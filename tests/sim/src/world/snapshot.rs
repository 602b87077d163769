//! The content of the API server: nodes, Services with addresses, one pool and one advertisement.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use lodestone_speaker_core::{ClusterSnapshot, NodeName, cluster_snapshot::Node, testing};
use serde_json::json;

use super::{
    World, WorldSpec,
    network::{SimInterface, address_on},
};

/// Nodes with this label take no traffic from outside the cluster.
const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

impl World {
    /// Whether Kubernetes allows that a node owns addresses.
    pub(super) fn is_eligible(&self, index: usize) -> bool {
        let node = self.snapshot.nodes.get(&self.nodes[index].name);
        node.is_some_and(|node| !node.network_unavailable && !node.labels.contains_key(EXCLUDE_LABEL))
    }

    /// Sets whether a node may own addresses, by its label or by its condition NetworkUnavailable.
    pub fn set_eligible(&mut self, index: usize, eligible: bool, by_label: bool) {
        if let Some(node) = self.snapshot.nodes.get_mut(&self.nodes[index].name) {
            if !by_label {
                node.network_unavailable = !eligible;
            } else if eligible {
                node.labels.remove(EXCLUDE_LABEL);
            } else {
                node.labels.insert(EXCLUDE_LABEL.to_owned(), String::new());
            }
        }
        self.publish_snapshot();
    }
}

pub(super) fn build(spec: &WorldSpec, names: &[NodeName]) -> ClusterSnapshot {
    let interface = if spec.split {
        SimInterface::NodeNetwork
    } else {
        SimInterface::Lan
    };
    let node = |(index, name): (usize, &NodeName)| {
        let node = Node {
            address: Some(address_on(index, interface)),
            ..Node::default()
        };
        (name.clone(), node)
    };
    ClusterSnapshot {
        nodes: names.iter().enumerate().map(node).collect(),
        addresses: (0..spec.addresses)
            .map(|index| {
                (
                    service_address(index),
                    Arc::new(vec![testing::service(&format!("s{index}"))]),
                )
            })
            .collect(),
        // One pool that holds all addresses, advertised from every node.
        config: Arc::new(testing::config_of(
            &["172.1.200.0/22", "2001:db8:0:1::/112"],
            &[json!({})],
        )),
        ..ClusterSnapshot::default()
    }
}

/// Returns the address of the Service with this index.
fn service_address(index: usize) -> IpAddr {
    let number = u32::try_from(index).unwrap_or_default();
    if index % 3 == 2 {
        Ipv6Addr::from(0x2001_0db8_0000_0001_0000_0000_0000_0000 + u128::from(number)).into()
    } else {
        Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 1, 200, 0)) + number).into()
    }
}
