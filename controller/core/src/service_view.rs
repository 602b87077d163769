//! The fields of a Service that the controller uses. Only these stay in memory.

mod request;

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{LoadBalancerIngress, ObjectReference, Service, ServiceSpec},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use lodestone_crds::{
    DEPRECATED_ANNOTATION_PREFIX, DEPRECATED_POOL_ANNOTATION, Family, Labels, ObjectKey, annotation, recorded_pool,
};

use crate::alloc::{AddressHolder, Backend, Port, Protocol};
pub use request::Request;

/// The condition of a Service whose ports cannot be served: another Service has one of them at the
/// same address. That is the address asked for or held. Kubernetes calls the condition
/// `v1.LoadBalancerPortsError`.
pub const PORTS_ERROR: &str = "LoadBalancerPortsError";

/// The reason of [`PORTS_ERROR`] that this controller sets.
pub const PORT_IN_USE: &str = "PortInUse";

/// How many address families a Service wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyPolicy {
    /// One.
    Single,
    /// Two if possible.
    PreferDual,
    /// Two.
    RequireDual,
}

/// The fields of a Service that the controller uses.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceView {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The uid, which tells apart two objects of one name.
    pub uid: String,
    /// The version at the API server.
    pub resource_version: String,
    /// When the Service was created.
    pub created: Option<Timestamp>,
    /// Whether it is of type LoadBalancer.
    pub is_load_balancer: bool,
    /// Whether it is of type LoadBalancer and of our class.
    pub is_ours: bool,
    /// The families of its cluster addresses, the primary one first.
    pub families: Vec<Family>,
    /// How many families it wants.
    pub family_policy: FamilyPolicy,
    /// The labels of the Service, which the `serviceSelectors` of a pool match.
    pub labels: Labels,
    /// The addresses that it asks for.
    pub request: Request,
    /// The pool that it asks for.
    pub requested_pool: Option<String>,
    /// How it would hold an address.
    pub holder: AddressHolder,
    /// `status.loadBalancer.ingress`.
    pub ingress: Vec<LoadBalancerIngress>,
    /// The pool that its addresses are from, by its annotation.
    pub recorded_pool: Option<String>,
    /// Whether a pool is recorded under the deprecated prefix. The next write removes that.
    pub has_deprecated_record: bool,
    /// The message of its condition [`PORTS_ERROR`], where that is true.
    pub ports_error: Option<String>,
    /// All its conditions, including those that other controllers set.
    pub conditions: Vec<Condition>,
    /// Whether its user has set annotations of the deprecated prefix.
    pub has_deprecated_annotations: bool,
}

impl ServiceView {
    /// The view of `service`; `class` is the loadBalancerClass of this controller.
    #[must_use]
    pub fn new(service: &Service, class: &str) -> Self {
        let metadata = &service.metadata;
        let no_annotations = BTreeMap::new();
        let annotations = metadata.annotations.as_ref().unwrap_or(&no_annotations);
        let key = ObjectKey::of(service);
        let spec = service.spec.clone().unwrap_or_default();
        let status = service.status.clone().unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
        let is_load_balancer = spec.type_.as_deref() == Some("LoadBalancer");
        let non_empty = |name: &str| {
            annotation(annotations, name)
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
        };
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            created,
            is_load_balancer,
            is_ours: is_load_balancer && spec.load_balancer_class.as_deref().unwrap_or_default() == class,
            families: cluster_families(&spec),
            family_policy: match spec.ip_family_policy.as_deref() {
                Some("RequireDualStack") => FamilyPolicy::RequireDual,
                Some("PreferDualStack") => FamilyPolicy::PreferDual,
                _ => FamilyPolicy::Single,
            },
            labels: metadata.labels.clone().unwrap_or_default(),
            request: Request::parse(annotations, spec.load_balancer_ip.as_deref().unwrap_or_default()),
            requested_pool: non_empty("address-pool"),
            ingress: status.load_balancer.and_then(|it| it.ingress).unwrap_or_default(),
            recorded_pool: recorded_pool(annotations).map(str::to_owned),
            has_deprecated_record: annotations.contains_key(DEPRECATED_POOL_ANNOTATION),
            ports_error: conditions
                .iter()
                .find(|it| it.type_ == PORTS_ERROR && it.status == "True" && it.reason == PORT_IN_USE)
                .map(|condition| condition.message.clone()),
            conditions,
            has_deprecated_annotations: annotations
                .keys()
                .any(|key| key.starts_with(DEPRECATED_ANNOTATION_PREFIX) && key != DEPRECATED_POOL_ANNOTATION),
            holder: AddressHolder {
                sharing_key: non_empty("allow-shared-ip"),
                backend: backend(&spec, key.namespace()),
                ports: ports(spec),
                since: created,
            },
            key,
        }
    }

    /// The addresses that its status lists. An entry with a host name only has none.
    #[must_use]
    pub fn recorded(&self) -> Vec<IpAddr> {
        self.ingress
            .iter()
            .filter_map(|entry| entry.ip.as_deref()?.parse().ok())
            .collect()
    }

    /// Whether this is a later version of the object than `other`. Versions of one kind are numbers
    /// that grow (KEP-5504). Where they are not numbers, neither is later.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let version = |view: &Self| view.resource_version.parse::<u64>();
        self.uid == other.uid && matches!((version(self), version(other)), (Ok(mine), Ok(theirs)) if mine > theirs)
    }

    /// The reference to it in an event.
    #[must_use]
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            namespace: Some(self.key.namespace().to_owned()),
            name: Some(self.key.name().to_owned()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }
}

fn cluster_families(spec: &ServiceSpec) -> Vec<Family> {
    let listed = spec.cluster_ips.as_deref();
    let addresses = listed.unwrap_or(spec.cluster_ip.as_slice());
    addresses
        .iter()
        .filter_map(|ip| ip.parse().ok())
        .map(Family::of)
        .collect()
}

fn backend(spec: &ServiceSpec, namespace: &str) -> Backend {
    if spec.external_traffic_policy.as_deref() == Some("Local") {
        Backend::NodesOf {
            namespace: namespace.to_owned(),
            selector: spec.selector.clone().unwrap_or_default(),
        }
    } else {
        Backend::AnyNode
    }
}

fn ports(spec: ServiceSpec) -> Vec<Port> {
    let ports = spec.ports.unwrap_or_default().into_iter();
    ports
        .map(|port| Port {
            protocol: Protocol(port.protocol.unwrap_or_else(|| "TCP".to_owned())),
            number: port.port,
        })
        .collect()
}

#[cfg(test)]
mod tests;
