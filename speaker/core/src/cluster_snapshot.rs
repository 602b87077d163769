//! What the speaker knows from Kubernetes: whole snapshots, not changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use lodestone_crds::{Config, Labels, ObjectKey};

use crate::types::NodeName;

/// Everything the API server has reported.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterSnapshot {
    /// All nodes of the cluster.
    pub nodes: BTreeMap<NodeName, Node>,
    /// The addresses of the Services of our class, with the Services on each. Consecutive snapshots
    /// share what has not changed.
    pub addresses: BTreeMap<IpAddr, Arc<Vec<ServiceOnAddress>>>,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// The owners that ServiceL2Status named when this speaker started. They are used when all
    /// speakers restart at once, and count for the addresses of the first snapshot only.
    pub recorded: RecordedOwners,
    /// Whether nodes labelled `node.kubernetes.io/exclude-from-external-load-balancers` are
    /// eligible.
    pub ignore_exclude_label: bool,
}

impl ClusterSnapshot {
    /// The Services on an address.
    pub fn services_on(&self, address: IpAddr) -> impl Iterator<Item = &ServiceOnAddress> {
        self.addresses
            .get(&address)
            .into_iter()
            .flat_map(|services| services.iter())
    }

    /// The names of the Services on an address.
    #[must_use]
    pub fn service_names(&self, address: IpAddr) -> Vec<ObjectKey> {
        self.services_on(address)
            .map(|service| service.service.clone())
            .collect()
    }

    /// The InternalIP of a node.
    #[must_use]
    pub fn node_address(&self, node: &NodeName) -> Option<IpAddr> {
        self.nodes.get(node)?.address
    }
}

/// The nodes that announced the addresses of each Service.
pub type RecordedOwners = BTreeMap<ObjectKey, BTreeSet<NodeName>>;

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The InternalIP, where the speaker of the node is reached.
    pub address: Option<IpAddr>,
    /// All its InternalIPs and ExternalIPs.
    pub addresses: BTreeSet<IpAddr>,
    /// The labels.
    pub labels: Labels,
    /// The condition NetworkUnavailable.
    pub network_unavailable: bool,
    /// Whether the condition Ready is not True.
    pub not_ready: bool,
    /// Whether the node is being taken out of service: cordoned, or tainted out-of-service.
    pub draining: bool,
}

impl Node {
    /// Whether an address is one of the node itself.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.address == Some(address) || self.addresses.contains(&address)
    }
}

/// A Service that has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceOnAddress {
    /// Namespace and name.
    pub service: ObjectKey,
    /// The labels.
    pub labels: Labels,
    /// Whether externalTrafficPolicy is Local: then only nodes with an endpoint are eligible.
    pub local: bool,
    /// Whether the Service has a sharing key.
    pub shares: bool,
    /// The pool that the addresses came from, by annotation.
    pub pool: Option<Arc<str>>,
    /// The serving endpoints.
    pub endpoints: Arc<Endpoints>,
}

/// Where the serving endpoints of a Service are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// The nodes with at least one.
    pub nodes: BTreeSet<NodeName>,
    /// The nodes of [`Self::nodes`] on which all endpoints are terminating.
    pub terminating: BTreeSet<NodeName>,
    /// Whether an endpoint names no node, such as one that a user wrote by hand.
    pub on_unknown_node: bool,
}

impl Endpoints {
    /// Adds the endpoints of another slice of the same Service.
    pub fn add(&mut self, other: &Self) {
        // A node with an endpoint that stays, in either slice, is not terminating.
        let stays =
            |endpoints: &Self, node: &NodeName| endpoints.nodes.contains(node) && !endpoints.terminating.contains(node);
        self.terminating.retain(|node| !stays(other, node));
        let terminating: Vec<NodeName> = other
            .terminating
            .iter()
            .filter(|node| !stays(self, node))
            .cloned()
            .collect();
        self.terminating.extend(terminating);
        self.nodes.extend(other.nodes.iter().cloned());
        self.on_unknown_node |= other.on_unknown_node;
    }

    /// Whether there is no serving endpoint.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && !self.on_unknown_node
    }
}
