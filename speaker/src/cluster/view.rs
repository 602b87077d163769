//! Objects of Kubernetes, reduced to what the speaker looks at. Only these fields are kept in memory.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use lodestone_crds::{Family, Labels, ObjectKey, POOL_ANNOTATION, annotation};
use lodestone_runtime::{
    flags::serves_class,
    k8s::{node::SlimNode, service::SlimService},
};

use crate::{
    core::facts::{Endpoints, Node},
    wire::message::NodeName,
};

/// The label that says which Service an endpoint slice belongs to.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// A Service that has addresses of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its own labels.
    pub labels: Labels,
    /// Whether its externalTrafficPolicy is Local.
    pub local: bool,
    /// Whether it says that it shares its addresses.
    pub shares: bool,
    /// The pool that its addresses are from.
    pub pool: Option<String>,
}

impl ServiceView {
    /// What matters of a Service; `None` for one that has no address or is not served here.
    #[must_use]
    pub fn new(service: &SlimService, class: &str) -> Option<Self> {
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
            pool: annotations.get(POOL_ANNOTATION).cloned(),
        })
    }
}

/// An endpoint slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceView {
    /// The Service that it belongs to.
    pub service: ObjectKey,
    /// The family of the endpoints' addresses; `None`: they are host names.
    pub family: Option<Family>,
    /// Where its serving endpoints are.
    pub endpoints: Arc<Endpoints>,
}

impl SliceView {
    /// What matters of a slice; `None` for one of no Service.
    #[must_use]
    pub fn new(slice: &EndpointSlice) -> Option<Self> {
        let service = ObjectKey::new(&slice.namespace()?, slice.labels().get(SERVICE_LABEL)?);
        let mut endpoints = Endpoints::default();
        let mut staying = BTreeSet::new();
        for endpoint in slice.endpoints.iter().filter(|endpoint| !endpoint.addresses.is_empty()) {
            let conditions = endpoint.conditions.as_ref();
            // An endpoint that is terminating and still serves takes traffic; nothing said means yes.
            let ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
            let serving = conditions.and_then(|conditions| conditions.serving).unwrap_or(false);
            match &endpoint.node_name {
                _ if !ready && !serving => {}
                Some(node) => {
                    endpoints.nodes.insert(NodeName::from(node.as_str()));
                    if !conditions
                        .and_then(|conditions| conditions.terminating)
                        .unwrap_or(false)
                    {
                        staying.insert(node.as_str());
                    }
                }
                None => endpoints.elsewhere = true,
            }
        }
        endpoints.ending = endpoints.nodes.clone();
        endpoints.ending.retain(|node| !staying.contains(&**node));
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

/// What matters of a node.
#[must_use]
pub fn node(node: &SlimNode) -> (NodeName, Node) {
    let status = node.status.as_ref();
    let addresses = status.and_then(|status| status.addresses.as_ref());
    let internal = addresses
        .into_iter()
        .flatten()
        .find(|address| address.type_ == "InternalIP");
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let unavailable = |name: &str, status: &str| name == "NetworkUnavailable" && status == "True";
    let view = Node {
        address: internal.and_then(|address| address.address.parse().ok()),
        labels: node.labels().clone(),
        network_unavailable: conditions
            .into_iter()
            .flatten()
            .any(|condition| unavailable(&condition.type_, &condition.status)),
        draining: is_draining(node),
    };
    (NodeName::from(node.name_any()), view)
}

/// The taint of a node that an administrator has declared out of service (Kubernetes: `v1.TaintNodeOutOfService`).
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
    fn an_endpoint_counts_when_it_is_ready_or_serving_or_says_nothing() {
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
                (view.endpoints.nodes.contains("w1"), view.endpoints.elsewhere),
                (counts, counts),
                "{conditions}"
            );
            assert_eq!(view.service, ObjectKey::new("n", "a"));
        }
    }

    #[test]
    fn only_services_that_are_ours_and_have_an_address_count() {
        let view = |class: Option<&str>, type_: &str, ip: Option<&str>| {
            let service = serde_json::from_value(json!({
                "metadata": {"name": "a", "namespace": "n"}, "spec": {"type": type_, "loadBalancerClass": class},
                "status": {"loadBalancer": {"ingress": [{"hostname": "h"}, {"ip": ip}]}},
            }));
            ServiceView::new(&service.unwrap(), "").map(|view| view.addresses.len())
        };
        assert_eq!(view(None, "LoadBalancer", Some("192.0.2.1")), Some(1));
        assert_eq!(view(None, "LoadBalancer", Some("nonsense")), None);
        assert_eq!(view(None, "LoadBalancer", None), None);
        assert_eq!(view(None, "ClusterIP", Some("192.0.2.1")), None);
        assert_eq!(view(Some("other"), "LoadBalancer", Some("192.0.2.1")), None);
    }

    #[test]
    fn a_node_is_reached_at_its_first_internal_address() {
        let object = serde_json::from_value(json!({
            "metadata": {"name": "w1"},
            "status": {
                "addresses": [
                    {"type": "Hostname", "address": "w1"},
                    {"type": "InternalIP", "address": "192.0.2.1"}, {"type": "InternalIP", "address": "2001:db8::1"},
                ],
                "conditions": [{"type": "Ready", "status": "True"}, {"type": "NetworkUnavailable", "status": "True"}],
            },
        }));
        let (name, view) = node(&object.unwrap());
        assert_eq!(
            (&*name, view.address, view.network_unavailable),
            ("w1", "192.0.2.1".parse().ok(), true)
        );
    }
}
