//! `L2Advertisement`.
#![expect(clippy::duplicated_attributes, reason = "kube takes a derive or a column a time")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The fields of an [`L2Advertisement`] beside its metadata: the specification may be left out altogether, and then everything
/// is announced everywhere.
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
    doc = "L2Advertisement says which addresses are announced on the LAN by ARP and NDP, from which nodes and interfaces.",
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
    /// What is announced, and from where.
    #[serde(default, skip_serializing_if = "L2AdvertisementSpec::is_empty")]
    pub spec: L2AdvertisementSpec,
}

/// What an [`L2Advertisement`] announces, and from where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct L2AdvertisementSpec {
    /// Names of the pools whose addresses are announced. With neither these nor ipAddressPoolSelectors: all pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pools: Vec<String>,

    /// Selects further pools by label; a pool that any one of them matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pool_selectors: Vec<LabelSelector>,

    /// The nodes that may announce; a node that any one of them matches counts. None: all nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<LabelSelector>,

    /// Names of the interfaces that are announced on. None: every interface that is not excluded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,

    /// Restricts the advertisement to Services whose labels any one of them matches. None: all Services. It can't be combined
    /// with Services that share an address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_selectors: Vec<LabelSelector>,

    /// The nodes that had better announce: of those that may, the ones with the highest sum of weights are chosen from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preferred_node_selectors: Vec<PreferredNodeSelector>,
}

impl L2AdvertisementSpec {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A preference for some nodes over others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreferredNodeSelector {
    /// How strong the preference is, from 1 to 100; the weights of all selectors that match a node add up.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,

    /// Selects the nodes.
    pub preference: LabelSelector,
}

/// What Lodestone knows of an advertisement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct L2AdvertisementStatus {
    /// Accepted: whether the advertisement is in use as it stands, and why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
