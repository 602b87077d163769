//! What is known from Kubernetes: whole facts, not changes of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use lodestone_crds::{Config, Labels, ObjectKey};

use crate::wire::message::NodeName;

/// Everything that the API server has told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// All nodes of the cluster.
    pub nodes: BTreeMap<NodeName, Node>,
    /// All addresses of Services that are ours, by address, with the Services that have each. Facts that follow on each other share what has not
    /// changed.
    pub addresses: BTreeMap<IpAddr, Arc<Vec<Tenant>>>,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Who owned what when this speaker was started, by ServiceL2Status: for a cluster in which every speaker starts anew.
    pub recorded: Recorded,
    /// Whether nodes labelled `node.kubernetes.io/exclude-from-external-load-balancers` may own addresses all the same.
    pub ignore_exclude_label: bool,
}

impl Facts {
    /// The Services that have an address.
    pub fn tenants(&self, address: IpAddr) -> impl Iterator<Item = &Tenant> {
        self.addresses
            .get(&address)
            .into_iter()
            .flat_map(|tenants| tenants.iter())
    }
}

/// The nodes that announced the addresses of each Service.
pub type Recorded = BTreeMap<ObjectKey, BTreeSet<NodeName>>;

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its InternalIP, at which its speaker is reached.
    pub address: Option<IpAddr>,
    /// Its labels.
    pub labels: Labels,
    /// Its condition NetworkUnavailable.
    pub network_unavailable: bool,
    /// Whether it is being taken out of service: cordoned, or marked out of service.
    pub draining: bool,
}

/// A Service that has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its namespace and name.
    pub service: ObjectKey,
    /// Its own labels.
    pub labels: Labels,
    /// Whether its externalTrafficPolicy is Local: then only nodes with an endpoint may own its addresses.
    pub local: bool,
    /// Whether it says that it shares its addresses.
    pub shares: bool,
    /// The pool that its addresses are from, by its annotation.
    pub pool: Option<String>,
    /// Where its serving endpoints are.
    pub endpoints: Arc<Endpoints>,
}

/// Where the serving endpoints of a Service are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// The nodes that have one.
    pub nodes: BTreeSet<NodeName>,
    /// Of these, the nodes where all of them are about to end.
    pub ending: BTreeSet<NodeName>,
    /// Whether there is one that says no node: such as those that a user has written by hand.
    pub elsewhere: bool,
}

impl Endpoints {
    /// Adds those of another slice of the same Service.
    pub fn add(&mut self, other: &Self) {
        // One that stays in any slice stays.
        let stays =
            |endpoints: &Self, node: &NodeName| endpoints.nodes.contains(node) && !endpoints.ending.contains(node);
        self.ending.retain(|node| !stays(other, node));
        let ending: Vec<NodeName> = other.ending.iter().filter(|node| !stays(self, node)).cloned().collect();
        self.ending.extend(ending);
        self.nodes.extend(other.nodes.iter().cloned());
        self.elsewhere |= other.elsewhere;
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && !self.elsewhere
    }
}
