//! What happened that a user wants to know, and why.

mod cause;

use std::{collections::BTreeMap, fmt, net::IpAddr};

use lodestone_crds::ObjectKey;

use crate::{
    ineligibility::IneligibilityReason,
    types::{MacAddr, NodeName},
};

pub use cause::OwnershipCause;

/// What to do when speakers do not hear each other.
const CHECK_PORT: &str = "Check that the speakers' UDP port is open between the nodes.";

/// Something that a user wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node has taken ownership of an address.
    OwnershipTaken {
        /// The address that has a new owner.
        address: IpAddr,
        /// The Services on the address.
        services: Vec<ObjectKey>,
        /// The new owner, which is this node.
        to: NodeName,
        /// The node that owned the address before, if this node knows one.
        from: Option<NodeName>,
        /// What made the new owner take the address.
        cause: OwnershipCause,
    },
    /// A host outside the cluster uses an address.
    ForeignConflict {
        /// The address that this node owns and the foreign host uses.
        address: IpAddr,
        /// The Services on the address.
        services: Vec<ObjectKey>,
        /// The node that owns the address, which is this node.
        owner: NodeName,
        /// The MAC of the foreign host.
        mac: MacAddr,
        /// Whether the owner goes on announcing the address.
        response: ForeignConflictResponse,
        /// Whether this node knows the MACs of other nodes, or is the only node. If not, the host
        /// may be another node of the cluster.
        knows_peers: bool,
    },
    /// Another node of the cluster uses an address that this node owns.
    PeerConflict {
        /// The address that both nodes use.
        address: IpAddr,
        /// The Services on the address.
        services: Vec<ObjectKey>,
        /// The node that owns the address, which is this node.
        owner: NodeName,
        /// The other node that answers for the address.
        rival: NodeName,
        /// The MAC of the interface on which the other node answers.
        mac: MacAddr,
        /// Whether the owner goes on announcing the address, and for which reason.
        response: PeerConflictResponse,
    },
    /// No node is eligible to own an address.
    NoEligibleNode {
        /// The address that no node can announce.
        address: IpAddr,
        /// The Services on the address.
        services: Vec<ObjectKey>,
        /// Why each node is not eligible.
        reasons: BTreeMap<NodeName, IneligibilityReason>,
    },
    /// Another speaker has failed, or is alive again.
    PeerPhaseChanged {
        /// The node of that speaker.
        node: NodeName,
        /// True if it has failed, false if it is alive again.
        failed: bool,
    },
    /// This node answers as the deputy of an owner, or no longer does.
    DeputyChanged {
        /// The node that answers, which is this node.
        deputy: NodeName,
        /// The node with whose MAC it answers.
        owner: NodeName,
        /// How many of the owner's addresses it answers for. With 0 it is no longer the deputy.
        addresses: usize,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnershipTaken {
                address,
                to,
                from,
                cause,
                ..
            } => match from {
                Some(from) => write!(f, "node {to} took ownership of {address} from node {from}: {cause}"),
                None => write!(f, "node {to} took ownership of {address}: {cause}"),
            },
            Self::ForeignConflict {
                address,
                owner,
                mac,
                response,
                knows_peers,
                ..
            } => {
                let action = response.action();
                write!(
                    f,
                    "{address} is used by {mac}, which is no known node of the cluster. Node {owner} {action} the address."
                )?;
                if *knows_peers {
                    return Ok(());
                }
                write!(
                    f,
                    " Node {owner} hears no other speaker, so {mac} may be another node. {CHECK_PORT} Check that all speakers have the same key."
                )
            }
            Self::PeerConflict {
                address,
                owner,
                rival,
                mac,
                response,
                ..
            } => {
                let (cause, action, advice) = response.texts();
                write!(
                    f,
                    "{address} is used by node {rival} ({mac}), whose {cause}. Node {owner} {action} the address. {advice}"
                )
            }
            Self::NoEligibleNode { address, reasons, .. } => write_no_eligible_node(f, *address, reasons),
            Self::PeerPhaseChanged { node, failed } => {
                let change = if *failed { "has failed" } else { "is alive again" };
                write!(f, "the speaker of node {node} {change}")
            }
            Self::DeputyChanged {
                deputy,
                owner,
                addresses: 0,
            } => write!(f, "node {deputy} is no longer the deputy of node {owner}"),
            Self::DeputyChanged {
                deputy,
                owner,
                addresses,
            } => write!(
                f,
                "node {deputy} answers as the deputy of node {owner}; number of addresses: {addresses}"
            ),
        }
    }
}

fn write_no_eligible_node(
    f: &mut fmt::Formatter<'_>,
    address: IpAddr,
    reasons: &BTreeMap<NodeName, IneligibilityReason>,
) -> fmt::Result {
    let mut reasons_of_nodes = reasons.iter();
    if let Some((node, _)) = reasons_of_nodes.find(|(_, reason)| **reason == IneligibilityReason::OwnAddress) {
        return write!(f, "{address} is not announced: it is the address of node {node}");
    }
    write!(f, "no node is eligible to announce {address}:")?;
    for (index, (node, reason)) in reasons.iter().enumerate() {
        write!(f, "{} {node}: {reason}", if index == 0 { "" } else { ";" })?;
    }
    Ok(())
}

/// What a node does about a foreign host that uses its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignConflictResponse {
    /// It announced the address before, so it goes on, and defends it.
    Defends,
    /// It has not announced the address yet, and does not begin.
    HoldsBack,
}

impl ForeignConflictResponse {
    const fn action(self) -> &'static str {
        match self {
            Self::Defends => "defends",
            Self::HoldsBack => "does not announce",
        }
    }
}

/// What a node does about another node of the cluster that uses its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerConflictResponse {
    /// The speaker of the other node is not heard, and answered before this one did.
    HoldsBack,
    /// The speaker of the other node is not heard, and that node ranks first for the address.
    StepsDown,
    /// The speaker of the other node is not heard, and this node ranks first for the address.
    GoesOn,
    /// The speaker of the other node is heard and does not own the address: its kernel answers.
    IgnoresKernel,
}

impl PeerConflictResponse {
    /// What is wrong with the other node, what the owner does, and what the user can do.
    const fn texts(self) -> (&'static str, &'static str, &'static str) {
        const UNHEARD: &str = "speaker is not heard";
        match self {
            Self::HoldsBack => (UNHEARD, "does not announce", CHECK_PORT),
            Self::StepsDown => (UNHEARD, "stops announcing", CHECK_PORT),
            Self::GoesOn => (UNHEARD, "goes on announcing", CHECK_PORT),
            Self::IgnoresKernel => (
                "kernel answers, although its speaker does not announce the address",
                "goes on announcing",
                "Remove the address from the interfaces of the other node. Set strictARP if kube-proxy runs in IPVS mode.",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
