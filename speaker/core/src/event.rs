//! What happened that a user wants to know, and why.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use lodestone_crds::ObjectKey;

use crate::{
    ineligibility::IneligibilityReason,
    types::{MacAddr, NodeName},
};

/// What to do when speakers do not hear each other.
const CHECK_PORT: &str = "Check that the speakers' UDP port is open between the nodes.";

/// Something that a user wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node has taken ownership of an address.
    OwnershipTaken {
        /// The address.
        address: IpAddr,
        /// The Services on the address.
        services: Vec<ObjectKey>,
        /// The new owner.
        to: NodeName,
        /// The former owner.
        from: Option<NodeName>,
        /// Why.
        cause: OwnershipCause,
    },
    /// A host outside the cluster uses an address.
    ForeignConflict {
        /// The address.
        address: IpAddr,
        /// The Services on the address.
        services: Vec<ObjectKey>,
        /// The node that owns the address.
        owner: NodeName,
        /// The MAC of the foreign host.
        mac: MacAddr,
        /// What this node does.
        response: ForeignConflictResponse,
        /// Whether this node knows other nodes of the cluster by their MACs. If not, the host may
        /// be one of them.
        knows_peers: bool,
    },
    /// Another node of the cluster uses an address that this node owns.
    PeerConflict {
        /// The address.
        address: IpAddr,
        /// The Services on the address.
        services: Vec<ObjectKey>,
        /// The node that owns the address.
        owner: NodeName,
        /// The other node.
        rival: NodeName,
        /// The MAC of the other node's interface.
        mac: MacAddr,
        /// What the owner does.
        response: PeerConflictResponse,
    },
    /// No node is eligible to own an address.
    NoEligibleNode {
        /// The address.
        address: IpAddr,
        /// The Services on the address.
        services: Vec<ObjectKey>,
        /// Why each node is not eligible.
        reasons: BTreeMap<NodeName, IneligibilityReason>,
    },
    /// Another speaker has failed, or is alive again.
    PeerPhaseChanged {
        /// Its node.
        node: NodeName,
        /// Whether it has failed.
        failed: bool,
    },
    /// This node answers as the deputy of an owner, or no longer does.
    DeputyChanged {
        /// The node that answers.
        deputy: NodeName,
        /// The owner.
        owner: NodeName,
        /// The number of addresses of the owner that this node answers for.
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
                rival,
                mac,
                response: PeerConflictResponse::IgnoresKernel,
                ..
            } => write!(
                f,
                "{address} is used by node {rival} ({mac}), whose speaker does not announce it: the kernel of node {rival} answers. Remove the address from the interfaces of that node. Set strictARP if kube-proxy runs in IPVS mode."
            ),
            Self::PeerConflict {
                address,
                owner,
                rival,
                mac,
                response,
                ..
            } => write!(
                f,
                "{address} is used by node {rival} ({mac}), whose speaker is not heard. Node {owner} {} the address. {CHECK_PORT}",
                response.action()
            ),
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
    const fn action(self) -> &'static str {
        match self {
            Self::HoldsBack => "does not announce",
            Self::StepsDown => "stops announcing",
            Self::GoesOn | Self::IgnoresKernel => "goes on announcing",
        }
    }
}

/// Why an address has a new owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnershipCause {
    /// Nobody owned it.
    New,
    /// The owner's node is down: the speaker has failed, and the node answers no reachability
    /// check.
    NodeDown,
    /// The owner's speaker was down for too long, while its node lives.
    SpeakerDown,
    /// The owner handed it over.
    HandedOver,
    /// The owner is no longer eligible.
    Ineligible(IneligibilityReason),
    /// The owner no longer claims it.
    Unclaimed,
    /// The configuration prefers the new owner.
    Preferred,
    /// The new owner ranks first by hash.
    Hash,
}

impl OwnershipCause {
    /// The value of the metric label `cause`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::NodeDown => "node-down",
            Self::SpeakerDown => "speaker-down",
            Self::HandedOver => "handed-over",
            Self::Ineligible(_) => "ineligible",
            Self::Unclaimed => "unclaimed",
            Self::Preferred => "preferred",
            Self::Hash => "hash",
        }
    }
}

impl fmt::Display for OwnershipCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("no node owned it before"),
            Self::NodeDown => f.write_str("the former owner does not answer on the LAN"),
            Self::SpeakerDown => f.write_str("the speaker of the former owner is down"),
            Self::HandedOver => f.write_str("the former owner handed it over"),
            Self::Ineligible(reason) => write!(f, "the former owner is no longer eligible ({reason})"),
            Self::Unclaimed => f.write_str("the former owner no longer claimed it"),
            Self::Preferred => f.write_str("the L2Advertisement prefers the new owner"),
            Self::Hash => f.write_str("the new owner ranks first with hash ownership"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer_conflict(response: PeerConflictResponse) -> Event {
        Event::PeerConflict {
            address: "192.0.2.1".parse().unwrap(),
            services: vec![],
            owner: "a".into(),
            rival: "b".into(),
            mac: MacAddr::new(2, 0, 0, 0, 0, 2),
            response,
        }
    }

    #[test]
    fn each_event_has_its_text() {
        let address = "192.0.2.1".parse().unwrap();
        let taken = |from: Option<&str>| Event::OwnershipTaken {
            address,
            services: vec![],
            to: "a".into(),
            from: from.map(NodeName::from),
            cause: OwnershipCause::HandedOver,
        };
        let foreign_conflict = |response, knows_peers| Event::ForeignConflict {
            address,
            services: vec![],
            owner: "a".into(),
            mac: MacAddr::new(2, 0, 0, 0, 0, 9),
            response,
            knows_peers,
        };
        let no_eligible_node = |reasons: &[(&str, IneligibilityReason)]| Event::NoEligibleNode {
            address,
            services: vec![],
            reasons: reasons.iter().map(|(node, reason)| ((*node).into(), *reason)).collect(),
        };
        let phase = |failed| Event::PeerPhaseChanged {
            node: "b".into(),
            failed,
        };
        let deputy = |addresses| Event::DeputyChanged {
            deputy: "a".into(),
            owner: "b".into(),
            addresses,
        };
        for (event, text) in [
            (
                taken(None),
                "node a took ownership of 192.0.2.1: the former owner handed it over",
            ),
            (
                taken(Some("b")),
                "node a took ownership of 192.0.2.1 from node b: the former owner handed it over",
            ),
            (
                foreign_conflict(ForeignConflictResponse::Defends, true),
                "192.0.2.1 is used by 02:00:00:00:00:09, which is no known node of the cluster. Node a defends the address.",
            ),
            (
                foreign_conflict(ForeignConflictResponse::HoldsBack, true),
                "192.0.2.1 is used by 02:00:00:00:00:09, which is no known node of the cluster. Node a does not announce the address.",
            ),
            (
                foreign_conflict(ForeignConflictResponse::HoldsBack, false),
                "192.0.2.1 is used by 02:00:00:00:00:09, which is no known node of the cluster. Node a does not announce the address. Node a hears no other speaker, so 02:00:00:00:00:09 may be another node. Check that the speakers' UDP port is open between the nodes. Check that all speakers have the same key.",
            ),
            (
                no_eligible_node(&[
                    ("a", IneligibilityReason::NoSpeaker),
                    ("b", IneligibilityReason::NoSpeaker),
                ]),
                "no node is eligible to announce 192.0.2.1: a: no speaker is heard from it; b: no speaker is heard from it",
            ),
            (
                no_eligible_node(&[
                    ("a", IneligibilityReason::NoSpeaker),
                    ("b", IneligibilityReason::OwnAddress),
                ]),
                "192.0.2.1 is not announced: it is the address of node b",
            ),
            (phase(true), "the speaker of node b has failed"),
            (phase(false), "the speaker of node b is alive again"),
            (
                deputy(2),
                "node a answers as the deputy of node b; number of addresses: 2",
            ),
            (deputy(0), "node a is no longer the deputy of node b"),
        ] {
            assert_eq!(event.to_string(), text);
        }
    }

    #[test]
    fn conflict_with_a_peer_says_what_the_node_does_and_what_to_check() {
        let blocked = CHECK_PORT;
        for (response, action, hint) in [
            (
                PeerConflictResponse::HoldsBack,
                "Node a does not announce the address.",
                blocked,
            ),
            (
                PeerConflictResponse::StepsDown,
                "Node a stops announcing the address.",
                blocked,
            ),
            (
                PeerConflictResponse::GoesOn,
                "Node a goes on announcing the address.",
                blocked,
            ),
            (
                PeerConflictResponse::IgnoresKernel,
                "the kernel of node b answers",
                "Remove the address from the interfaces",
            ),
        ] {
            let text = peer_conflict(response).to_string();
            assert!(
                text.starts_with("192.0.2.1 is used by node b (02:00:00:00:00:02), "),
                "{text}"
            );
            assert!(text.contains(action) && text.contains(hint), "{text}");
        }
    }

    #[test]
    fn each_cause_has_its_label_and_its_text() {
        for (cause, label, text) in [
            (OwnershipCause::New, "new", "no node owned it before"),
            (
                OwnershipCause::NodeDown,
                "node-down",
                "the former owner does not answer on the LAN",
            ),
            (
                OwnershipCause::SpeakerDown,
                "speaker-down",
                "the speaker of the former owner is down",
            ),
            (
                OwnershipCause::HandedOver,
                "handed-over",
                "the former owner handed it over",
            ),
            (
                OwnershipCause::Ineligible(IneligibilityReason::NoSpeaker),
                "ineligible",
                "the former owner is no longer eligible (no speaker is heard from it)",
            ),
            (
                OwnershipCause::Unclaimed,
                "unclaimed",
                "the former owner no longer claimed it",
            ),
            (
                OwnershipCause::Preferred,
                "preferred",
                "the L2Advertisement prefers the new owner",
            ),
            (
                OwnershipCause::Hash,
                "hash",
                "the new owner ranks first with hash ownership",
            ),
        ] {
            assert_eq!((cause.label(), cause.to_string().as_str()), (label, text));
        }
    }
}
