//! Which nodes are eligible to own an address, and why the others are not.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;
use lodestone_crds::config::Advertisement;

use crate::{
    cluster_snapshot::{ClusterSnapshot, Node, ServiceOnAddress},
    ineligibility::IneligibilityReason,
    types::NodeName,
    wire::message::Network,
};

/// Nodes with this label take no traffic from outside the cluster.
const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// How an eligible node would announce an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Eligibility {
    /// The sum of the weights of the preferences that the node meets.
    pub weight: u32,
    /// Whether the advertisements restrict the interfaces.
    pub restricted: bool,
    /// The names of the interfaces that the node would announce on.
    pub interfaces: BTreeSet<String>,
    /// Whether the node would announce on more interfaces if all had carrier.
    pub lacks_carrier: bool,
}

/// The verdict on every node, for one address.
pub(crate) type Verdicts = BTreeMap<NodeName, Result<Eligibility, IneligibilityReason>>;

/// The verdicts for all addresses, in their order.
pub(crate) type AllVerdicts = Vec<(IpAddr, Arc<Verdicts>)>;

/// What is known of the interfaces of the available nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownNetworks {
    /// The networks of each node.
    pub(crate) networks: BTreeMap<NodeName, Vec<Network>>,
    /// The names of those on which a node has failed.
    pub(crate) failed: BTreeMap<NodeName, BTreeSet<String>>,
}

/// Decides for every node whether it may own `address`.
#[must_use]
pub(crate) fn verdicts(snapshot: &ClusterSnapshot, known: &KnownNetworks, address: IpAddr) -> Verdicts {
    let networks = &known.networks;
    let inputs = EligibilityInputs {
        snapshot,
        networks,
        address,
        holders: Holders::new(snapshot, networks, address),
    };
    let serving = inputs.serving();
    let mut verdicts: Verdicts = snapshot
        .nodes
        .iter()
        .map(|(name, node)| {
            let verdict = inputs.for_node(&serving, name, node);
            let failed = known.failed.get(name);
            (
                name.clone(),
                verdict.and_then(|eligibility| heard_where_it_announces(eligibility, failed)),
            )
        })
        .collect();
    inputs.prefer_prefix(&mut verdicts);
    prefer_staying(&serving, &mut verdicts);
    verdicts
}

/// Decides whether a node may own `address` as far as this depends on the node alone. For an owner
/// whose speaker is not heard: `networks` are those of its last Hello.
pub(super) fn verdict_on(
    snapshot: &ClusterSnapshot,
    (name, node): (&NodeName, &Node),
    networks: &[Network],
    address: IpAddr,
) -> Result<Eligibility, IneligibilityReason> {
    // Of the interfaces only those of the node itself matter: it may keep an address that it has.
    let own = BTreeMap::from([(name.clone(), networks.to_vec())]);
    let inputs = EligibilityInputs {
        snapshot,
        networks: &own,
        address,
        holders: Holders::new(snapshot, &own, address),
    };
    inputs.holders.check(name)?;
    inputs.for_networks(&inputs.serving(), (name, node), networks)
}

/// The address that a verdict is about, and what the verdict depends on.
struct EligibilityInputs<'a> {
    snapshot: &'a ClusterSnapshot,
    networks: &'a BTreeMap<NodeName, Vec<Network>>,
    address: IpAddr,
    holders: Holders<'a>,
}

/// The nodes that have the address themselves. Their kernels answer for it, and other nodes must
/// not take their traffic.
struct Holders<'a> {
    /// By their Node objects.
    in_objects: BTreeSet<&'a NodeName>,
    /// On an interface, for example because another load balancer has left it there.
    on_interfaces: BTreeSet<&'a NodeName>,
}

impl<'a> Holders<'a> {
    fn new(snapshot: &'a ClusterSnapshot, networks: &'a BTreeMap<NodeName, Vec<Network>>, address: IpAddr) -> Self {
        let nodes = snapshot.nodes.iter();
        let in_objects = nodes.filter(|(_, node)| node.has_address(address));
        let has = |network: &Network| network.addresses.iter().any(|prefix| prefix.addr() == address);
        let on_interfaces = networks.iter().filter(|(_, networks)| networks.iter().any(has));
        Self {
            in_objects: in_objects.map(|(name, _)| name).collect(),
            on_interfaces: on_interfaces.map(|(name, _)| name).collect(),
        }
    }

    /// Whether a node may announce the address all the same.
    fn check(&self, name: &NodeName) -> Result<(), IneligibilityReason> {
        if self.in_objects.contains(name) {
            return Err(IneligibilityReason::OwnAddress);
        }
        let is_only_on_others = !self.on_interfaces.is_empty() && !self.on_interfaces.contains(name);
        if !self.in_objects.is_empty() || is_only_on_others {
            return Err(IneligibilityReason::NodeAddress);
        }
        Ok(())
    }
}

impl<'a> EligibilityInputs<'a> {
    /// The Services that decide. A Service without endpoints does not affect eligibility: no node
    /// can serve it, and the Services that share its address must not suffer.
    fn serving(&self) -> Vec<&'a ServiceOnAddress> {
        let services = self.snapshot.services_on(self.address);
        services.filter(|service| !service.endpoints.is_empty()).collect()
    }

    fn for_node(
        &self,
        serving: &[&ServiceOnAddress],
        name: &NodeName,
        node: &Node,
    ) -> Result<Eligibility, IneligibilityReason> {
        self.holders.check(name)?;
        let networks = self.networks.get(name).ok_or(IneligibilityReason::NoSpeaker)?;
        self.for_networks(serving, (name, node), networks)
    }

    fn for_networks(
        &self,
        serving: &[&ServiceOnAddress],
        (name, node): (&NodeName, &Node),
        networks: &[Network],
    ) -> Result<Eligibility, IneligibilityReason> {
        if node.network_unavailable {
            return Err(IneligibilityReason::NetworkUnavailable);
        }
        if node.labels.contains_key(EXCLUDE_LABEL) && !self.snapshot.ignore_exclude_label {
            return Err(IneligibilityReason::ExcludedByLabel);
        }
        let mut all: Option<Eligibility> = None;
        for service in serving {
            let eligibility = self.for_service(networks, service, name, node)?;
            // Services that share an address are announced together, where each of them may be.
            all = Some(match all {
                None => eligibility,
                Some(all) => Eligibility {
                    weight: all.weight.max(eligibility.weight),
                    restricted: all.restricted || eligibility.restricted,
                    lacks_carrier: all.lacks_carrier || eligibility.lacks_carrier,
                    interfaces: &all.interfaces & &eligibility.interfaces,
                },
            });
        }
        let eligibility = all.ok_or(IneligibilityReason::NoEndpoint)?;
        if eligibility.interfaces.is_empty() {
            return Err(IneligibilityReason::NoInterface);
        }
        Ok(self.on_its_prefix(eligibility, networks))
    }

    /// Announces the address only on the interfaces whose prefix holds it, where one does. Where
    /// none does, or where the user names the interfaces, on all.
    fn on_its_prefix(&self, eligibility: Eligibility, networks: &[Network]) -> Eligibility {
        if eligibility.restricted {
            return eligibility;
        }
        let holds = |network: &&Network| network.addresses.iter().any(|prefix| prefix.contains(&self.address));
        let names = networks.iter().filter(holds).map(|network| network.interface.clone());
        let on_prefix: BTreeSet<String> = names.filter(|name| eligibility.interfaces.contains(name)).collect();
        if on_prefix.is_empty() {
            return eligibility;
        }
        Eligibility {
            interfaces: on_prefix,
            lacks_carrier: false,
            ..eligibility
        }
    }

    fn for_service(
        &self,
        networks: &[Network],
        service: &ServiceOnAddress,
        name: &NodeName,
        node: &Node,
    ) -> Result<Eligibility, IneligibilityReason> {
        let covering: Vec<&Advertisement> = self.covering(service).collect();
        if service.shares && covering.iter().any(|advertisement| advertisement.selects_services()) {
            return Err(IneligibilityReason::SharesAndIsSelected);
        }
        let here: Vec<&Advertisement> = covering
            .into_iter()
            .filter(|advertisement| advertisement.covers_node(&node.labels))
            .collect();
        if here.is_empty() {
            return Err(IneligibilityReason::NoAdvertisement);
        }
        let restricted = here.iter().all(|advertisement| !advertisement.interfaces.is_empty());
        let allowed = |network: &Network| {
            let mut advertisements = here.iter();
            !restricted || advertisements.any(|advertisement| advertisement.interfaces.contains(&network.interface))
        };
        let interfaces: BTreeSet<String> = networks
            .iter()
            .filter(|network| network.usable && allowed(network) && (self.address.is_ipv4() || has_ipv6(network)))
            .map(|network| network.interface.clone())
            .collect();
        if interfaces.is_empty() {
            return Err(IneligibilityReason::NoInterface);
        }
        // An endpoint that names no node may be on this one.
        if service.local && !service.endpoints.nodes.contains(name) && !service.endpoints.on_unknown_node {
            return Err(IneligibilityReason::NoLocalEndpoint);
        }
        let weights = here.iter().map(|advertisement| advertisement.weight(&node.labels));
        Ok(Eligibility {
            weight: weights.sum(),
            restricted,
            interfaces,
            lacks_carrier: networks.iter().any(|network| !network.usable && allowed(network)),
        })
    }

    /// The advertisements that cover a Service on the address: those of the pool that holds the
    /// address. Where no pool contains it any longer, those that name the pool it came from, or all
    /// pools.
    fn covering(&self, service: &'a ServiceOnAddress) -> impl Iterator<Item = &'a Advertisement> {
        let pool = self.snapshot.config.pool_of(self.address);
        let covers_pool = move |advertisement: &&Advertisement| match pool {
            Some(pool) => advertisement.covers_pool(pool),
            None => {
                let recorded = service.pool.as_ref();
                let names_pool = recorded.is_some_and(|pool| advertisement.names_pool(pool));
                names_pool || advertisement.covers_all_pools()
            }
        };
        let advertisements = self.snapshot.config.l2_advertisements.values();
        advertisements
            .filter(covers_pool)
            .filter(|advertisement| advertisement.covers_service(&service.labels))
    }

    /// Where a node has the address in a prefix of an interface that it would announce on, only
    /// such nodes are eligible. Where no node has, all interfaces announce the address, and clients
    /// may be on any of them. Then nodes that lack carrier on one come last.
    fn prefer_prefix(&self, verdicts: &mut Verdicts) {
        let on_link = |name: &NodeName, eligibility: &Eligibility| {
            let mut networks = self.networks.get(name).into_iter().flatten();
            networks.any(|network| {
                eligibility.interfaces.contains(&network.interface)
                    && network.addresses.iter().any(|prefix| prefix.contains(&self.address))
            })
        };
        let any_on_link = verdicts
            .iter()
            .any(|(name, verdict)| verdict.as_ref().is_ok_and(|eligibility| on_link(name, eligibility)));
        if any_on_link {
            for (name, verdict) in verdicts.iter_mut() {
                if verdict.as_ref().is_ok_and(|eligibility| !on_link(name, eligibility)) {
                    *verdict = Err(IneligibilityReason::NoPrefix);
                }
            }
            return;
        }
        if verdicts
            .values()
            .flatten()
            .any(|eligibility| !eligibility.lacks_carrier)
        {
            for verdict in verdicts.values_mut() {
                if verdict.as_ref().is_ok_and(|eligibility| eligibility.lacks_carrier) {
                    *verdict = Err(IneligibilityReason::NoCarrier);
                }
            }
        }
    }
}

/// A node that has failed on a segment cannot announce there.
fn heard_where_it_announces(
    eligibility: Eligibility,
    failed: Option<&BTreeSet<String>>,
) -> Result<Eligibility, IneligibilityReason> {
    // mutation: failed-segment-ignored
    let is_failed = failed.is_some_and(|failed| !failed.is_disjoint(&eligibility.interfaces));
    if is_failed {
        Err(IneligibilityReason::FailedOnSegment)
    } else {
        Ok(eligibility)
    }
}

/// A host drops packets for an IPv6 address that it announces on an interface without IPv6.
fn has_ipv6(network: &Network) -> bool {
    network.addresses.iter().any(|prefix| matches!(prefix, IpNet::V6(_)))
}

/// An address leaves a node before the last endpoint there has gone, if another node has one that
/// stays.
fn prefer_staying(serving: &[&ServiceOnAddress], verdicts: &mut Verdicts) {
    let is_terminating = |name: &NodeName| {
        serving.iter().any(|service| {
            service.local && !service.endpoints.on_unknown_node && service.endpoints.terminating.contains(name)
        })
    };
    if verdicts
        .iter()
        .any(|(name, verdict)| verdict.is_ok() && !is_terminating(name))
    {
        for (name, verdict) in verdicts.iter_mut() {
            if verdict.is_ok() && is_terminating(name) {
                *verdict = Err(IneligibilityReason::EndpointsTerminating);
            }
        }
    }
}

#[cfg(test)]
mod tests;
