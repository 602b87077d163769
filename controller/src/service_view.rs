//! A Service, as far as the controller looks at it. Only these fields are kept in memory.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{LoadBalancerIngress, ObjectReference},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{Resource, ResourceExt};
use lodestone_crds::{ANNOTATION_PREFIX, DEPRECATED_ANNOTATION_PREFIX, Family, Labels, annotation};
use lodestone_daemon::{ObjectKey, flags::serves_class, service::Service};

use crate::alloc::{Backend, Port, Protocol, Tenant};

/// The annotation with the name of the pool that a Service's addresses are from. Only the controller writes it.
pub const POOL_ANNOTATION: &str = "metallb.io/ip-allocated-from-pool";

/// The condition of a Service whose ports can't be served (Kubernetes: `v1.LoadBalancerPortsError`): another Service has one of them at
/// the address that it asks for or has.
pub const PORTS_ERROR: &str = "LoadBalancerPortsError";

/// The reason of [`PORTS_ERROR`] that is ours.
pub const PORT_IN_USE: &str = "PortInUse";

/// How many address families a Service wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyPolicy {
    /// One.
    Single,
    /// Two if it can have them.
    PreferDual,
    /// Two.
    RequireDual,
}

/// The addresses that a Service asks for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// None.
    Any,
    /// One, or one of each family.
    Addresses(Vec<IpAddr>),
    /// Something that can't be met whatever the pools are.
    Invalid(String),
}

/// A Service, as far as the controller looks at it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceView {
    /// Its namespace and name.
    pub key: ObjectKey,
    /// Its uid.
    pub uid: String,
    /// Its version at the API server.
    pub resource_version: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether it is of type LoadBalancer.
    pub balanced: bool,
    /// Whether it is of type LoadBalancer and of our class.
    pub served: bool,
    /// The families of its cluster addresses, the primary one first.
    pub families: Vec<Family>,
    /// How many families it wants.
    pub family_policy: FamilyPolicy,
    /// Its own labels.
    pub labels: Labels,
    /// The addresses that it asks for.
    pub request: Request,
    /// The pool that it asks for.
    pub requested_pool: Option<String>,
    /// How it would hold an address.
    pub tenant: Tenant,
    /// What its status says.
    pub ingress: Vec<LoadBalancerIngress>,
    /// The pool that its addresses are from, by its annotation.
    pub recorded_pool: Option<String>,
    /// What its condition [`PORTS_ERROR`] says, where it is true.
    pub ports_error: Option<String>,
    /// All its conditions; another controller's stay as they are.
    pub conditions: Vec<Condition>,
    /// Whether it uses annotations of the deprecated prefix.
    pub deprecated_annotations: bool,
}

impl ServiceView {
    /// What matters of `service`; `class` is the flag `--lb-class`.
    #[must_use]
    pub fn new(service: &Service, class: &str) -> Self {
        let key = ObjectKey::of(service);
        let annotations = service.annotations();
        let spec = service.spec.clone().unwrap_or_default();
        let cluster_ips = spec
            .cluster_ips
            .unwrap_or_else(|| spec.cluster_ip.into_iter().collect());
        let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let conditions = service.status.as_ref().and_then(|status| status.conditions.clone());
        let conditions = conditions.unwrap_or_default();
        let sharing = annotation(annotations, "allow-shared-ip")
            .filter(|key| !key.is_empty())
            .map(str::to_owned);
        let backend = if spec.external_traffic_policy.as_deref() == Some("Local") {
            Backend::NodesOf {
                namespace: key.namespace.clone(),
                selector: spec.selector.unwrap_or_default(),
            }
        } else {
            Backend::AnyNode
        };
        let ports = spec.ports.unwrap_or_default().into_iter().map(|port| Port {
            protocol: Protocol(port.protocol.unwrap_or_else(|| "TCP".to_owned())),
            number: port.port,
        });
        let created = service.creation_timestamp().map(|time| time.0);
        let balanced = spec.type_.as_deref() == Some("LoadBalancer");
        Self {
            key,
            uid: service.uid().unwrap_or_default(),
            resource_version: service.resource_version().unwrap_or_default(),
            created,
            balanced,
            served: balanced && serves_class(class, spec.load_balancer_class.as_deref()),
            families: cluster_ips
                .iter()
                .filter_map(|ip| ip.parse().ok())
                .map(Family::of)
                .collect(),
            family_policy: match spec.ip_family_policy.as_deref() {
                Some("RequireDualStack") => FamilyPolicy::RequireDual,
                Some("PreferDualStack") => FamilyPolicy::PreferDual,
                _ => FamilyPolicy::Single,
            },
            labels: service.labels().clone(),
            request: request(annotations, spec.load_balancer_ip.as_deref().unwrap_or_default()),
            requested_pool: annotation(annotations, "address-pool")
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            tenant: Tenant {
                sharing,
                backend,
                ports: ports.collect(),
                since: created,
            },
            ingress: balancer
                .and_then(|balancer| balancer.ingress.clone())
                .unwrap_or_default(),
            recorded_pool: annotations.get(POOL_ANNOTATION).cloned(),
            ports_error: conditions
                .iter()
                .find(|it| it.type_ == PORTS_ERROR && it.status == "True" && it.reason == PORT_IN_USE)
                .map(|condition| condition.message.clone()),
            conditions,
            deprecated_annotations: annotations
                .keys()
                .any(|key| key.starts_with(DEPRECATED_ANNOTATION_PREFIX)),
        }
    }

    /// The addresses that its status says; entries with a host name only are none.
    #[must_use]
    pub fn recorded(&self) -> Vec<IpAddr> {
        self.ingress
            .iter()
            .filter_map(|entry| entry.ip.as_deref()?.parse().ok())
            .collect()
    }

    /// Whether a version that the API server has told is older than this one. Versions of one kind are numbers that grow
    /// (KEP-5504); where they are not, nothing is known to be older.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let version = |view: &Self| view.resource_version.parse::<u64>();
        self.uid == other.uid && matches!((version(self), version(other)), (Ok(mine), Ok(theirs)) if mine > theirs)
    }

    /// What an event about it is about.
    #[must_use]
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(Service::api_version(&()).into_owned()),
            kind: Some(Service::kind(&()).into_owned()),
            namespace: Some(self.key.namespace.clone()),
            name: Some(self.key.name.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }
}

/// The addresses asked for by the annotation `loadBalancerIPs` or the field `loadBalancerIP`.
fn request(annotations: &BTreeMap<String, String>, field: &str) -> Request {
    let listed = annotation(annotations, "loadBalancerIPs").unwrap_or_default();
    let text = match (listed.is_empty(), field.is_empty()) {
        (true, true) => return Request::Any,
        (false, false) => {
            let text = format!(
                "both the annotation {ANNOTATION_PREFIX}loadBalancerIPs and spec.loadBalancerIP are set; use one"
            );
            return Request::Invalid(text);
        }
        (false, true) => listed,
        (true, false) => field,
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for part in text.split(',') {
        match part.trim().parse() {
            Ok(address) => addresses.push(address),
            Err(_) => return Request::Invalid(format!("{:?} is not an IP address", short(part.trim()))),
        }
    }
    match addresses.as_slice() {
        [a, b] if Family::of(*a) == Family::of(*b) => Request::Invalid(format!(
            "{a} and {b} are of one family; a Service can have one address of each"
        )),
        [_] | [_, _] => Request::Addresses(addresses),
        _ => Request::Invalid(format!(
            "{:?} asks for {} addresses; a Service can have one of each family",
            short(text),
            addresses.len()
        )),
    }
}

/// What can be quoted: an annotation may have a quarter of a megabyte.
fn short(text: &str) -> &str {
    let end = (0..=text.len().min(80)).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
