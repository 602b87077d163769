//! `IPAddressPool`: addresses for Services.
#![expect(
    clippy::duplicated_attributes,
    reason = "kube accepts one derive and one column per attribute"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// IPAddressPool is a set of addresses that the controller can assign to Services of type
/// LoadBalancer.
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
    doc = "IPAddressPool is a set of addresses that the controller can assign to Services of type LoadBalancer.",
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
    /// The addresses of the pool. Each entry is a CIDR ("192.0.2.0/24", "2001:db8::/120") or a
    /// range from the first to the last address ("192.0.2.10-192.0.2.20"). A pool may have
    /// addresses of both families; a dual-stack Service needs a pool that has both.
    #[schemars(schema_with = "addresses")]
    pub addresses: Vec<String>,

    /// Whether the controller assigns addresses of the pool to Services that do not request it. If
    /// false, a Service must request the pool, or an address of the pool.
    #[serde(default = "default_auto_assign")]
    pub auto_assign: bool,

    /// Excludes IPv4 addresses that end in .0 or .255. Some old clients drop traffic of such
    /// addresses, because they take it for a smurf attack.
    #[serde(rename = "avoidBuggyIPs", default)]
    pub avoid_buggy_ips: bool,

    /// Restricts the pool to some Services, and ranks it among the pools that a Service may use.
    /// Absent: all Services may use the pool, and it has the last rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_allocation: Option<ServiceAllocation>,
}

const fn default_auto_assign() -> bool {
    true
}

/// The schema by which the API server itself checks that an entry looks like a range. The webhook
/// and the controller check the rest. The schema has a pattern instead of a CEL rule, because the
/// cost of CEL would require a limit on the number of entries. MetalLB has no such limit.
fn addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {"type": "string", "pattern": r"^\s*[0-9A-Fa-f:.]+(/[0-9]+|\s*-\s*[0-9A-Fa-f:.]+)\s*$"},
        "x-kubernetes-validations": [{"rule": "self.size() > 0", "message": "a pool needs at least one CIDR or range"}],
    })
}

/// Which Services may use the pool. A Service must match both its namespace restrictions
/// (namespaces, namespaceSelectors) and serviceSelectors. An empty restriction matches every
/// Service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAllocation {
    /// The rank of the pool. Pools with lower numbers are used first, pools with 0 or no number
    /// last. Pools of equal rank are used in the order of their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,

    /// Names of the namespaces whose Services may use the pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,

    /// Selects further namespaces by label. A namespace is selected if at least one selector
    /// matches it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_selectors: Vec<LabelSelector>,

    /// Selects Services by their own labels, not by those of their pods. A Service is selected if
    /// at least one selector matches it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_selectors: Vec<LabelSelector>,
}

/// The state of the pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IPAddressPoolStatus {
    /// Number of IPv4 addresses of the pool that are in use. A shared address counts once.
    #[serde(rename = "assignedIPv4")]
    pub assigned_ipv4: i64,

    /// Number of IPv6 addresses of the pool that are in use. A shared address counts once.
    #[serde(rename = "assignedIPv6")]
    pub assigned_ipv6: i64,

    /// Number of free IPv4 addresses of the pool.
    #[serde(rename = "availableIPv4")]
    pub available_ipv4: i64,

    /// Number of free IPv6 addresses of the pool, at most the largest int64.
    #[serde(rename = "availableIPv6")]
    pub available_ipv6: i64,

    /// The condition Accepted reports whether the pool is in use, and otherwise why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
