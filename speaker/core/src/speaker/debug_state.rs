//! What a speaker knows and why things are as they are, for `/debug/state`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use serde::Serialize;

use super::Speaker;
use crate::{
    borrow::view,
    ineligibility::IneligibilityReason,
    liveness::{View, peers::Phase},
    node::interface::Interface,
    ownership::eligibility::{self, KnownNetworks},
    types::{Epoch, NodeName},
};

/// Everything that explains what a speaker does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DebugState {
    /// The node of the speaker.
    pub node: NodeName,
    /// Whether the API server has reported the cluster yet.
    pub configured: bool,
    /// Whether the speaker still listens before it claims anything.
    pub listening: bool,
    /// Whether the speaker shuts down.
    pub leaving: bool,
    /// The interfaces of the node.
    pub interfaces: Vec<Interface>,
    /// The nodes of the cluster whose speakers are heard.
    pub peers_heard: Vec<NodeName>,
    /// Peers that are not heard, or that are suspect.
    pub suspects: BTreeMap<NodeName, SuspectState>,
    /// For each owner the addresses that this node answers for as its deputy.
    pub deputy_for: BTreeMap<NodeName, Vec<IpAddr>>,
    /// Every address of a Service of our class.
    pub addresses: BTreeMap<IpAddr, AddressDebugState>,
}

/// What is known of a peer that is not heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SuspectState {
    /// Whether it is heard on any path.
    pub heard: bool,
    /// Its interfaces on whose segments it has failed.
    pub failed_on: BTreeSet<String>,
    /// The result of the reachability check.
    pub reachability: &'static str,
    /// How many nodes declare it failed.
    pub reported_failed_by: usize,
}

/// What is known of one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressDebugState {
    /// The Services on the address.
    pub services: Vec<String>,
    /// The claim in force.
    pub claimed_by: Option<ClaimDebugState>,
    /// Whether this node announces it.
    pub announced_here: bool,
    /// For each node why it is not eligible, or that it is.
    pub nodes: BTreeMap<NodeName, String>,
    /// How this node became the owner.
    pub taken: Option<TakenDebugState>,
    /// The MAC of a foreign host that has the address.
    pub foreign_host: Option<String>,
}

/// A claim in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimDebugState {
    /// The owner.
    pub node: NodeName,
    /// The epoch of the claim.
    pub epoch: Epoch,
}

/// How a node became the owner of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TakenDebugState {
    /// The node that owned the address before, if this node knows one.
    pub from: Option<NodeName>,
    /// What made this node take the address, as text.
    pub cause: String,
}

impl Speaker {
    /// What this speaker knows, and why things are as they are.
    #[must_use]
    pub fn debug_state(&self, now: Instant) -> DebugState {
        let view = view!(self, now);
        let peers = view.peers();
        let suspects = peers
            .nodes()
            .filter(|node| peers.phase(node, now) != Some(Phase::Alive) || peers.has_failed_somewhere(node, now));
        let mut deputy_for: BTreeMap<NodeName, Vec<IpAddr>> = BTreeMap::new();
        for (address, duty) in self.lan.duties() {
            deputy_for.entry(duty.owner.clone()).or_default().push(*address);
        }
        let snapshot = self.context.snapshot.as_ref();
        let nodes = snapshot.into_iter().flat_map(|snapshot| snapshot.nodes.keys());
        DebugState {
            node: self.context.me.clone(),
            configured: self.is_configured(),
            listening: self.context.listening,
            leaving: self.context.shutdown.is_some(),
            interfaces: self.node.interfaces().to_vec(),
            peers_heard: nodes.filter(|node| peers.is_heard(node, now)).cloned().collect(),
            suspects: suspects.map(|node| (node.clone(), suspect(view, node))).collect(),
            deputy_for,
            addresses: self.debug_addresses(view),
        }
    }

    fn debug_addresses(&self, view: &View<'_>) -> BTreeMap<IpAddr, AddressDebugState> {
        let Some(snapshot) = &self.context.snapshot else {
            return BTreeMap::new();
        };
        let known = KnownNetworks {
            networks: view.networks(),
            failed: view.failed_networks(),
        };
        let describe = |address: IpAddr| {
            let verdicts = eligibility::verdicts(snapshot, &known, address);
            let text = |verdict: Result<_, IneligibilityReason>| match verdict {
                Ok(_) => "eligible".to_owned(),
                Err(reason) => reason.to_string(),
            };
            let record = self.ownership.claims().get(address);
            let services = snapshot.services_on(address);
            AddressDebugState {
                services: services.map(|service| service.service.to_string()).collect(),
                claimed_by: record.map(|record| ClaimDebugState {
                    node: record.node.clone(),
                    epoch: record.epoch,
                }),
                announced_here: self.lan.announces(address),
                nodes: verdicts
                    .into_iter()
                    .map(|(node, verdict)| (node, text(verdict)))
                    .collect(),
                taken: self.ownership.taken(address).map(|taken| TakenDebugState {
                    from: taken.from.clone(),
                    cause: taken.cause.to_string(),
                }),
                foreign_host: self.lan.conflicts().other_user(address).map(|mac| mac.to_string()),
            }
        };
        let addresses = snapshot.addresses.keys();
        addresses.map(|address| (*address, describe(*address))).collect()
    }
}

fn suspect(view: &View<'_>, node: &NodeName) -> SuspectState {
    let networks = view.peers().networks_of(node).iter();
    let interfaces = networks.map(|network| network.interface.clone()).collect();
    SuspectState {
        heard: view.is_heard(node),
        failed_on: view.failed_networks_of(node),
        reachability: view.reachability(node, &interfaces).as_str(),
        reported_failed_by: view.peers().failure_reports(node, view.now, None),
    }
}
