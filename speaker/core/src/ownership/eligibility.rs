//! Which nodes may own an address, and why the others may not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;
use lodestone_crds::config::Advertisement;

use crate::core::facts::{ClusterSnapshot, Node, ServiceOnAddress};
use crate::wire::message::{Network, NodeName};

/// Nodes with this label take no traffic from outside.
const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Why nobody, or why this node, may own an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No speaker is heard from there.
    NoSpeaker,
    /// The condition NetworkUnavailable.
    NetworkUnavailable,
    /// The label that takes a node out of load balancing.
    ExcludedByLabel,
    /// No L2Advertisement covers the Service, its pool and this node.
    NoAdvertisement,
    /// A Service that shares its address is covered by an advertisement with serviceSelectors.
    SharesAndIsSelected,
    /// No interface that is up, has a carrier, is allowed, and has IPv6 where that is asked for.
    NoInterface,
    /// Other nodes have the address in a prefix of theirs, this one has not.
    NoPrefix,
    /// The address is in no prefix of any node, and this one has an interface without a carrier where others have none.
    NoCarrier,
    /// No endpoint serves.
    NoEndpoint,
    /// externalTrafficPolicy Local, and no endpoint serves here.
    NoLocalEndpoint,
    /// externalTrafficPolicy Local, and all endpoints here are about to end; other nodes have some that stay.
    EndpointsEnd,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpeaker => "no speaker is heard from it",
            Self::NetworkUnavailable => "its condition NetworkUnavailable is True",
            Self::ExcludedByLabel => "it has the label node.kubernetes.io/exclude-from-external-load-balancers",
            Self::NoAdvertisement => "no L2Advertisement covers the Service, its pool and the node",
            Self::SharesAndIsSelected => {
                "an L2Advertisement with serviceSelectors can't announce an address that is shared"
            }
            Self::NoInterface => {
                "it has no interface that is up, that is not excluded by its name, that an L2Advertisement allows, and that has IPv6 if the address is of that family"
            },
            Self::NoPrefix => "the address is in no prefix of its interfaces, and is in one of other nodes'",
            Self::NoCarrier => "an interface of it that the address would be announced on has no carrier",
            Self::NoEndpoint => "no endpoint of the Service serves",
            Self::NoLocalEndpoint => "externalTrafficPolicy is Local and no endpoint serves on it",
            Self::EndpointsEnd => "externalTrafficPolicy is Local and all endpoints on it are terminating",
        })
    }
}

/// How a node that may own an address would announce it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The sum of the weights of the preferences that it meets.
    pub weight: u32,
    /// Whether the advertisements restrict the interfaces.
    pub restricted: bool,
    /// The interfaces that it announces on.
    pub interfaces: BTreeSet<String>,
    /// Whether there would be more of them if all had a carrier.
    pub lacks_carrier: bool,
}

/// The verdict on every node, for one address.
pub type Verdicts = BTreeMap<NodeName, Result<Standing, Reason>>;

/// The verdicts for all addresses.
pub type AllVerdicts = Vec<(IpAddr, Arc<Verdicts>)>;

/// Says of every node whether it may own `address`. `networks` are those of each node whose speaker is alive.
#[must_use]
pub fn verdicts(facts: &ClusterSnapshot, networks: &BTreeMap<NodeName, Vec<Network>>, address: IpAddr) -> Verdicts {
    let tenants = facts.addresses.get(&address).map_or(&[][..], |tenants| tenants);
    // A Service without endpoints has no say: nothing can be done for it, and those that it shares with are not to suffer.
    let serving: Vec<&ServiceOnAddress> = tenants.iter().filter(|tenant| !tenant.endpoints.is_empty()).collect();
    let mut verdicts: Verdicts = facts
        .nodes
        .iter()
        .map(|(name, node)| {
            let standing = standing(facts, networks, address, &serving, name, node);
            (name.clone(), standing)
        })
        .collect();
    prefer_prefix(networks, address, &mut verdicts);
    prefer_staying(&serving, &mut verdicts);
    verdicts
}

fn standing(
    facts: &ClusterSnapshot,
    networks: &BTreeMap<NodeName, Vec<Network>>,
    address: IpAddr,
    serving: &[&ServiceOnAddress],
    name: &NodeName,
    node: &Node,
) -> Result<Standing, Reason> {
    let networks = networks.get(name).ok_or(Reason::NoSpeaker)?;
    if node.network_unavailable {
        return Err(Reason::NetworkUnavailable);
    }
    if node.labels.contains_key(EXCLUDE_LABEL) && !facts.ignore_exclude_label {
        return Err(Reason::ExcludedByLabel);
    }
    let mut all: Option<Standing> = None;
    for tenant in serving {
        let standing = for_tenant(facts, networks, address, tenant, name, node)?;
        // Services that share an address are announced as one: where each of them may be.
        all = Some(match all {
            None => standing,
            Some(all) => Standing {
                weight: all.weight.max(standing.weight),
                restricted: all.restricted || standing.restricted,
                lacks_carrier: all.lacks_carrier || standing.lacks_carrier,
                interfaces: &all.interfaces & &standing.interfaces,
            },
        });
    }
    all.ok_or(Reason::NoEndpoint).and_then(|standing| {
        if standing.interfaces.is_empty() {
            Err(Reason::NoInterface)
        } else {
            Ok(standing)
        }
    })
}

fn for_tenant(
    facts: &ClusterSnapshot,
    networks: &[Network],
    address: IpAddr,
    tenant: &ServiceOnAddress,
    name: &NodeName,
    node: &Node,
) -> Result<Standing, Reason> {
    let covering: Vec<&Advertisement> = covering(facts, address, tenant).collect();
    if tenant.shares && covering.iter().any(|advertisement| advertisement.selects_services()) {
        return Err(Reason::SharesAndIsSelected);
    }
    let here: Vec<&Advertisement> = covering
        .into_iter()
        .filter(|advertisement| advertisement.covers_node(&node.labels))
        .collect();
    if here.is_empty() {
        return Err(Reason::NoAdvertisement);
    }
    let restricted = here.iter().all(|advertisement| !advertisement.interfaces.is_empty());
    let allowed = |network: &Network| {
        !restricted
            || here
                .iter()
                .any(|advertisement| advertisement.interfaces.contains(&network.interface))
    };
    let interfaces: BTreeSet<String> = networks
        .iter()
        .filter(|network| network.carrier && allowed(network) && (address.is_ipv4() || has_ipv6(network)))
        .map(|network| network.interface.clone())
        .collect();
    if interfaces.is_empty() {
        return Err(Reason::NoInterface);
    }
    // An endpoint that says no node may be on this one.
    if tenant.local && !tenant.endpoints.nodes.contains(name) && !tenant.endpoints.elsewhere {
        return Err(Reason::NoLocalEndpoint);
    }
    let weight = here
        .iter()
        .map(|advertisement| advertisement.weight(&node.labels))
        .sum();
    Ok(Standing {
        weight,
        restricted,
        interfaces,
        lacks_carrier: networks.iter().any(|network| !network.carrier && allowed(network)),
    })
}

/// A host without IPv6 on an interface drops whatever comes for an address that it announces there.
fn has_ipv6(network: &Network) -> bool {
    network.addresses.iter().any(|prefix| matches!(prefix, IpNet::V6(_)))
}

/// The advertisements under which a Service's address is announced: those of the pool that holds it. Where none does any more, those
/// that name the pool it was given from, or all pools.
fn covering<'a>(
    facts: &'a ClusterSnapshot,
    address: IpAddr,
    tenant: &'a ServiceOnAddress,
) -> impl Iterator<Item = &'a Advertisement> {
    let pool = facts.config.pool_of(address);
    let covers_pool = move |advertisement: &&Advertisement| match pool {
        Some(pool) => advertisement.covers_pool(pool),
        None => {
            let recorded = tenant.pool.as_ref().is_some_and(|pool| advertisement.names_pool(pool));
            recorded || advertisement.covers_all_pools()
        }
    };
    let advertisements = facts.config.l2_advertisements.values();
    advertisements
        .filter(covers_pool)
        .filter(|advertisement| advertisement.covers_service(&tenant.labels))
}

/// Where any node has the address in a prefix of an interface that it would announce on, only such nodes may own it. Where none has, it is
/// announced on all interfaces, and hosts may be on any of them: nodes that have lost one come last.
fn prefer_prefix(networks: &BTreeMap<NodeName, Vec<Network>>, address: IpAddr, verdicts: &mut Verdicts) {
    let on_link = |name: &NodeName, standing: &Standing| {
        networks.get(name).into_iter().flatten().any(|network| {
            standing.interfaces.contains(&network.interface)
                && network.addresses.iter().any(|prefix| prefix.contains(&address))
        })
    };
    let any = verdicts
        .iter()
        .any(|(name, verdict)| verdict.as_ref().is_ok_and(|standing| on_link(name, standing)));
    let mut standings = verdicts.values().flatten();
    if !any && standings.any(|standing| !standing.lacks_carrier) {
        for verdict in verdicts.values_mut() {
            if verdict.as_ref().is_ok_and(|standing| standing.lacks_carrier) {
                *verdict = Err(Reason::NoCarrier);
            }
        }
    }
    if any {
        for (name, verdict) in verdicts.iter_mut() {
            if verdict.as_ref().is_ok_and(|standing| !on_link(name, standing)) {
                *verdict = Err(Reason::NoPrefix);
            }
        }
    }
}

/// An address leaves a node before the last of its endpoints has gone, if another node has one that stays.
fn prefer_staying(serving: &[&ServiceOnAddress], verdicts: &mut Verdicts) {
    let ends = |name: &NodeName| {
        serving
            .iter()
            .any(|tenant| tenant.local && !tenant.endpoints.elsewhere && tenant.endpoints.ending.contains(name))
    };
    if verdicts.iter().any(|(name, verdict)| verdict.is_ok() && !ends(name)) {
        for (name, verdict) in verdicts.iter_mut() {
            if verdict.is_ok() && ends(name) {
                *verdict = Err(Reason::EndpointsEnd);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
