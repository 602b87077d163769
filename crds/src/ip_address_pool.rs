//! `IPAddressPool`.
#![expect(clippy::duplicated_attributes, reason = "kube takes a derive or a column a time")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// IPAddressPool is a set of addresses that the controller may give to Services of type LoadBalancer.
#[derive(CustomResource, JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "IPAddressPool",
    plural = "ipaddresspools",
    singular = "ipaddresspool",
    namespaced,
    status = "IPAddressPoolStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "IPAddressPool is a set of addresses that the controller may give to Services of type LoadBalancer.",
    printcolumn(name = "Auto Assign", type_ = "boolean", json_path = ".spec.autoAssign"),
    printcolumn(name = "Avoid Buggy IPs", type_ = "boolean", json_path = ".spec.avoidBuggyIPs"),
    printcolumn(name = "Addresses", type_ = "string", json_path = ".spec.addresses"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct IPAddressPoolSpec {
    /// The addresses: each entry is a CIDR ("192.0.2.0/24", "2001:db8::/120") or a range from a first to a last address
    /// ("192.0.2.10-192.0.2.20"). Both families may stand in one pool; a dual-stack Service needs one that has both.
    #[schemars(schema_with = "addresses")]
    pub addresses: Vec<String>,

    /// Whether the pool serves Services that do not ask for it. A Service can always name the pool, or an address in it.
    #[serde(default = "default_auto_assign")]
    pub auto_assign: bool,

    /// Leaves out IPv4 addresses that end in .0 or .255: some old clients drop their traffic as if it were a smurf attack.
    #[serde(rename = "avoidBuggyIPs", default)]
    pub avoid_buggy_ips: bool,

    /// Which Services may use the pool, and its rank among the pools that a Service may use. Absent: any Service, last rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_allocation: Option<ServiceAllocation>,
}

const fn default_auto_assign() -> bool {
    true
}

/// What the API server itself can tell of an address range: that it looks like one. The rest is for the webhook and the controller to
/// say. A pattern and not CEL, whose cost would need a limit on the number of ranges, which MetalLB does not have.
fn addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {"type": "string", "pattern": r"^\s*[0-9A-Fa-f:.]+(/[0-9]+|\s*-\s*[0-9A-Fa-f:.]+)\s*$"},
        "x-kubernetes-validations": [{"rule": "self.size() > 0", "message": "a pool needs at least one CIDR or range"}],
    })
}

/// Which Services may use a pool. A Service has to pass both the namespaces and the serviceSelectors, where they are given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAllocation {
    /// Rank of the pool: a lower number is used first, 0 (or none) last. Pools of one rank are used by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,

    /// Names of the namespaces whose Services may use the pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,

    /// Selects further namespaces by label; a namespace that any one of them matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_selectors: Vec<LabelSelector>,

    /// Selects Services by their own labels (not by those of their pods); any one of them has to match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_selectors: Vec<LabelSelector>,
}

/// What the controller knows of a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IPAddressPoolStatus {
    /// How many IPv4 addresses of the pool are in use; one that several Services share counts once.
    #[serde(rename = "assignedIPv4")]
    pub assigned_ipv4: i64,

    /// How many IPv6 addresses of the pool are in use; one that several Services share counts once.
    #[serde(rename = "assignedIPv6")]
    pub assigned_ipv6: i64,

    /// How many IPv4 addresses of the pool are free.
    #[serde(rename = "availableIPv4")]
    pub available_ipv4: i64,

    /// How many IPv6 addresses of the pool are free; the largest int64 where there are more.
    #[serde(rename = "availableIPv6")]
    pub available_ipv6: i64,

    /// Accepted: whether the pool is in use as it stands, and why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
