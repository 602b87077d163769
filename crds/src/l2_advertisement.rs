//! `L2Advertisement`: which addresses are announced by ARP and NDP, and from where.
#![expect(
    clippy::duplicated_attributes,
    reason = "kube accepts one derive and one column per attribute"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The fields of an [`L2Advertisement`] besides metadata and status. Without a specification, all
/// addresses are announced from all nodes and interfaces.
#[derive(CustomResource, JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "L2Advertisement",
    plural = "l2advertisements",
    singular = "l2advertisement",
    namespaced,
    no_spec,
    status = "L2AdvertisementStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "L2Advertisement selects addresses to announce on the LAN by ARP and NDP, and the nodes and interfaces that may announce them.",
    printcolumn(name = "IPAddressPools", type_ = "string", json_path = ".spec.ipAddressPools"),
    printcolumn(
        name = "IPAddressPool Selectors",
        type_ = "string",
        json_path = ".spec.ipAddressPoolSelectors"
    ),
    printcolumn(name = "Interfaces", type_ = "string", json_path = ".spec.interfaces"),
    printcolumn(
        name = "Node Selectors",
        type_ = "string",
        json_path = ".spec.nodeSelectors",
        priority = 10
    )
)]
pub struct L2AdvertisementFields {
    /// Which addresses are announced, and from where. Absent: all addresses, from all nodes and
    /// interfaces.
    #[serde(default, skip_serializing_if = "L2AdvertisementSpec::is_empty")]
    pub spec: L2AdvertisementSpec,
}

/// Which addresses are announced, and from where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct L2AdvertisementSpec {
    /// Names of the pools whose addresses are announced. If this and ipAddressPoolSelectors are
    /// empty: all pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pools: Vec<String>,

    /// Selects further pools by label. A pool is selected if at least one selector matches it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pool_selectors: Vec<LabelSelector>,

    /// Selects the nodes that may announce the addresses. A node is selected if at least one
    /// selector matches it. Empty: all nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<LabelSelector>,

    /// Names of the interfaces on which the addresses are announced. Empty: every interface that is
    /// not excluded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,

    /// Restricts the advertisement to Services. A Service is selected if at least one selector
    /// matches its labels. Empty: all Services. Do not use it for Services that share an address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_selectors: Vec<LabelSelector>,

    /// Nodes that are preferred among the selected ones. The owner is chosen from the nodes with
    /// the highest sum of weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preferred_node_selectors: Vec<PreferredNodeSelector>,
}

impl L2AdvertisementSpec {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A preference for some nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreferredNodeSelector {
    /// The weight of the preference, from 1 to 100. The weights of all selectors that match a node
    /// are added up.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,

    /// Selects the preferred nodes.
    pub preference: LabelSelector,
}

/// The state of the advertisement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct L2AdvertisementStatus {
    /// The condition Accepted reports whether the advertisement is in use, and otherwise why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
