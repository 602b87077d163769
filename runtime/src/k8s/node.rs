//! Nodes without what nobody looks at: their images, capacities and volumes are most of their text, which changes all the time.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Serialize};

use super::slim_metadata::slim_metadata;

/// A Node as the API server tells it, as far as it is looked at.
#[derive(Resource, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[resource(inherit = k8s_openapi::api::core::v1::Node)]
pub struct SlimNode {
    /// Which it is.
    #[serde(deserialize_with = "slim_metadata")]
    pub metadata: ObjectMeta,
    /// What it is to be.
    pub spec: Option<NodeSpec>,
    /// What it is.
    pub status: Option<NodeStatus>,
}

/// What a node is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct NodeSpec {
    /// Whether it is cordoned.
    pub unschedulable: Option<bool>,
    /// What keeps pods away from it.
    pub taints: Option<Vec<Taint>>,
}

/// What keeps pods away from a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Taint {
    /// What it is about.
    pub key: String,
}

/// What a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct NodeStatus {
    /// Where it is reached.
    pub addresses: Option<Vec<NodeAddress>>,
    /// How it is.
    pub conditions: Option<Vec<NodeCondition>>,
}

/// Where a node is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct NodeAddress {
    /// InternalIP, ExternalIP or Hostname.
    #[serde(rename = "type")]
    pub type_: String,
    /// An address, or a name.
    pub address: String,
}

/// How a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct NodeCondition {
    /// What it is about.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_read_with_all_that_is_looked_at_and_nothing_else() {
        let node: SlimNode = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "w1", "labels": {"a": "b"}, "managedFields": [{}]},
            "spec": {"podCIDR": "10.0.0.0/24", "unschedulable": true, "taints": [{"key": "k", "effect": "NoSchedule"}]},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}], "images": [{"names": ["x"], "sizeBytes": 1}],
                "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-02T03:04:05Z"}],
            },
        }))
        .unwrap();
        assert_eq!(node.metadata.name.as_deref(), Some("w1"));
        let (spec, status) = (node.spec.unwrap(), node.status.unwrap());
        assert_eq!(
            (spec.unschedulable, spec.taints.unwrap()[0].key.as_str()),
            (Some(true), "k")
        );
        assert_eq!(status.addresses.unwrap()[0].address, "192.0.2.1");
        assert_eq!(status.conditions.unwrap()[0].type_, "Ready");
        assert_eq!(
            serde_json::from_str::<SlimNode>(r#"{"metadata": {}}"#).unwrap().spec,
            None
        );
    }
}
