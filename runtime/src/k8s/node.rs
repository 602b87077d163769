//! Nodes, reduced to the fields in use.
//!
//! Images, capacities and volumes are most of a Node's JSON, and they change all the time.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Serialize};

use super::slim_metadata::slim_metadata;

/// A Node with the fields in use only.
#[derive(Resource, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[resource(inherit = k8s_openapi::api::core::v1::Node)]
pub struct SlimNode {
    /// The metadata in use.
    #[serde(deserialize_with = "slim_metadata")]
    pub metadata: ObjectMeta,
    /// The part of the specification in use.
    pub spec: Option<NodeSpec>,
    /// The part of the status in use.
    pub status: Option<NodeStatus>,
}

/// The part of a Node's specification in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct NodeSpec {
    /// Whether the node is cordoned.
    pub unschedulable: Option<bool>,
    /// The taints of the node.
    pub taints: Option<Vec<Taint>>,
}

/// A taint, which keeps pods away from a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Taint {
    /// The key of the taint.
    pub key: String,
}

/// The part of a Node's status in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct NodeStatus {
    /// The addresses of the node.
    pub addresses: Option<Vec<NodeAddress>>,
    /// The conditions of the node.
    pub conditions: Option<Vec<NodeCondition>>,
}

/// An address of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname` and the like.
    #[serde(rename = "type")]
    pub type_: String,
    /// An IP address or a host name.
    pub address: String,
}

/// A condition of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct NodeCondition {
    /// The type of the condition, for example `Ready`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_in_use_are_decoded_and_all_others_skipped() {
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
