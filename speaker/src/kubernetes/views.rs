//! Kubernetes objects, reduced to what the speaker uses. Only these fields stay in memory.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use lodestone_crds::{Family, Labels, ObjectKey, annotation, recorded_pool};
use lodestone_runtime::{
    flags::serves_class,
    k8s::{node::SlimNode, service::SlimService},
};
use lodestone_speaker_core::{
    NodeName,
    cluster_snapshot::{Endpoints, Node},
};

/// The label of an EndpointSlice that names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// A Service of this load balancer that has addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressedService {
    /// The addresses in the status.
    pub(crate) addresses: Vec<IpAddr>,
    /// The labels of the Service.
    pub(crate) labels: Labels,
    /// Whether externalTrafficPolicy is Local.
    pub(crate) local: bool,
    /// Whether the Service has the annotation that allows it to share its addresses.
    pub(crate) shares: bool,
    /// The pool of the addresses, from the controller's annotation.
    pub(crate) pool: Option<Arc<str>>,
}

impl AddressedService {
    /// Reduces a Service of class `class`. Returns `None` if it has no address, or belongs to
    /// another load balancer.
    #[must_use]
    pub(crate) fn new(service: &SlimService, class: &str) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        let balancer = service.status.as_ref()?.load_balancer.as_ref()?;
        let addresses: Vec<IpAddr> = balancer
            .ingress
            .iter()
            .flatten()
            .filter_map(|entry| entry.ip.as_deref()?.parse().ok())
            .collect();
        let ours =
            spec.type_.as_deref() == Some("LoadBalancer") && serves_class(class, spec.load_balancer_class.as_deref());
        let annotations = service.annotations();
        (ours && !addresses.is_empty()).then(|| Self {
            addresses,
            labels: service.labels().clone(),
            local: spec.external_traffic_policy.as_deref() == Some("Local"),
            shares: annotation(annotations, "allow-shared-ip").is_some(),
            pool: recorded_pool(annotations).map(Into::into),
        })
    }
}

/// An EndpointSlice of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SliceView {
    /// The Service of the slice.
    pub(crate) service: ObjectKey,
    /// The family of the endpoints' addresses; `None` if they are host names.
    pub(crate) family: Option<Family>,
    /// Where the serving endpoints are.
    pub(crate) endpoints: Arc<Endpoints>,
}

impl SliceView {
    /// Reduces a slice. Returns `None` if it belongs to no Service.
    #[must_use]
    pub(crate) fn new(slice: &EndpointSlice) -> Option<Self> {
        let service = ObjectKey::new(&slice.namespace()?, slice.labels().get(SERVICE_LABEL)?);
        let mut endpoints = Endpoints::default();
        let mut staying = BTreeSet::new();
        for endpoint in slice.endpoints.iter().filter(|endpoint| !endpoint.addresses.is_empty()) {
            let conditions = endpoint.conditions.as_ref();
            // A terminating endpoint that still serves takes traffic. An absent `ready` means true.
            let ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
            let serving = conditions.and_then(|conditions| conditions.serving).unwrap_or(false);
            let terminating = conditions
                .and_then(|conditions| conditions.terminating)
                .unwrap_or(false);
            match &endpoint.node_name {
                _ if !ready && !serving => {}
                Some(node) => {
                    endpoints.nodes.insert(NodeName::from(node.as_str()));
                    if !terminating {
                        staying.insert(node.as_str());
                    }
                }
                None => endpoints.on_unknown_node = true,
            }
        }
        endpoints.terminating = endpoints.nodes.clone();
        endpoints.terminating.retain(|node| !staying.contains(node.as_str()));
        let family = match slice.address_type.as_str() {
            "IPv4" => Some(Family::V4),
            "IPv6" => Some(Family::V6),
            _ => None,
        };
        Some(Self {
            service,
            family,
            endpoints: Arc::new(endpoints),
        })
    }
}

/// Reduces a Node. Its speaker is reached at the first InternalIP.
#[must_use]
pub(crate) fn node(node: &SlimNode) -> (NodeName, Node) {
    let status = node.status.as_ref();
    let addresses = status.and_then(|status| status.addresses.as_ref());
    let addresses = || addresses.into_iter().flatten();
    let internal = addresses().find(|address| address.type_ == "InternalIP");
    // The others are host names.
    let own = addresses().filter(|address| matches!(address.type_.as_str(), "InternalIP" | "ExternalIP"));
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let is_true = |name: &str| {
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|condition| condition.type_ == name && condition.status == "True")
    };
    let view = Node {
        address: internal.and_then(|address| address.address.parse().ok()),
        addresses: own.filter_map(|address| address.address.parse().ok()).collect(),
        labels: node.labels().clone(),
        network_unavailable: is_true("NetworkUnavailable"),
        not_ready: !is_true("Ready"),
        draining: is_draining(node),
    };
    (NodeName::from(node.name_any().as_str()), view)
}

/// The taint that an administrator puts on a node that is out of service
/// (`v1.TaintNodeOutOfService` in Kubernetes).
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

fn is_draining(node: &SlimNode) -> bool {
    let spec = node.spec.as_ref();
    let cordoned = spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
    let taints = spec.and_then(|spec| spec.taints.as_ref());
    cordoned || taints.into_iter().flatten().any(|taint| taint.key == OUT_OF_SERVICE)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn pool_is_read_under_either_prefix_and_the_current_one_wins() {
        let pool = |annotations: Value| {
            let service = json!({
                "metadata": {"name": "a", "namespace": "n", "annotations": annotations},
                "spec": {"type": "LoadBalancer"},
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
            });
            let service = serde_json::from_value::<SlimService>(service).unwrap();
            AddressedService::new(&service, "").unwrap().pool
        };
        let (current, deprecated) = (
            "metallb.io/ip-allocated-from-pool",
            "metallb.universe.tf/ip-allocated-from-pool",
        );
        assert_eq!(pool(json!({deprecated: "p"})).as_deref(), Some("p"));
        assert_eq!(pool(json!({current: "p", deprecated: "old"})).as_deref(), Some("p"));
        assert_eq!(pool(json!({})), None);
    }

    #[test]
    fn endpoints_count_if_ready_or_serving_or_without_conditions() {
        for (conditions, counts) in [
            (json!({"ready": true}), true),
            (json!({"ready": true, "serving": false}), true),
            (json!({"ready": false, "serving": true, "terminating": true}), true),
            (json!({}), true),
            (Value::Null, true),
            (json!({"serving": false}), true),
            (json!({"ready": false}), false),
            (json!({"ready": false, "serving": false}), false),
        ] {
            let endpoint =
                |node: Option<&str>| json!({"addresses": ["10.0.0.1"], "conditions": conditions, "nodeName": node});
            let slice = serde_json::from_value(json!({
                "metadata": {"name": "s", "namespace": "n", "labels": {SERVICE_LABEL: "a"}},
                "addressType": "IPv4", "endpoints": [endpoint(Some("w1")), endpoint(None)],
            }));
            let view = SliceView::new(&slice.unwrap()).unwrap();
            assert_eq!(
                (
                    view.endpoints.nodes.contains(&NodeName::from("w1")),
                    view.endpoints.on_unknown_node
                ),
                (counts, counts),
                "{conditions}"
            );
            assert_eq!(view.service, ObjectKey::new("n", "a"));
        }
    }

    #[test]
    fn only_own_services_with_an_address_count() {
        let view = |class: Option<&str>, type_: &str, ip: Option<&str>| {
            let service = serde_json::from_value(json!({
                "metadata": {"name": "a", "namespace": "n"}, "spec": {"type": type_, "loadBalancerClass": class},
                "status": {"loadBalancer": {"ingress": [{"hostname": "h"}, {"ip": ip}]}},
            }));
            AddressedService::new(&service.unwrap(), "").map(|view| view.addresses.len())
        };
        assert_eq!(view(None, "LoadBalancer", Some("192.0.2.1")), Some(1));
        assert_eq!(view(None, "LoadBalancer", Some("nonsense")), None);
        assert_eq!(view(None, "LoadBalancer", None), None);
        assert_eq!(view(None, "ClusterIP", Some("192.0.2.1")), None);
        assert_eq!(view(Some("other"), "LoadBalancer", Some("192.0.2.1")), None);
    }

    #[test]
    fn address_of_a_node_is_its_first_internal_ip() {
        let object = serde_json::from_value(json!({
            "metadata": {"name": "w1"},
            "status": {
                "addresses": [
                    {"type": "Hostname", "address": "w1"},
                    {"type": "InternalIP", "address": "192.0.2.1"}, {"type": "InternalIP", "address": "2001:db8::1"},
                    {"type": "ExternalIP", "address": "203.0.113.1"}, {"type": "InternalDNS", "address": "w1.example"},
                ],
                "conditions": [{"type": "Ready", "status": "True"}, {"type": "NetworkUnavailable", "status": "True"}],
            },
        }));
        let (name, view) = node(&object.unwrap());
        assert_eq!(
            (name.as_str(), view.address, view.network_unavailable),
            ("w1", "192.0.2.1".parse().ok(), true)
        );
        let own: Vec<String> = view.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(own, ["192.0.2.1", "203.0.113.1", "2001:db8::1"]);
    }

    #[test]
    fn node_is_ready_only_if_its_condition_says_so() {
        for (conditions, not_ready) in [
            (json!([{"type": "Ready", "status": "True"}]), false),
            (json!([{"type": "Ready", "status": "Unknown"}]), true),
            (json!([]), true),
        ] {
            let object = json!({"metadata": {"name": "w1"}, "status": {"conditions": conditions}});
            let (_, view) = node(&serde_json::from_value(object).unwrap());
            assert_eq!(view.not_ready, not_ready, "{conditions}");
        }
    }
}
