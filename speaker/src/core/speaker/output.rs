//! What a speaker wants to have done, and what it tells of itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use lodestone_crds::ObjectKey;
use pnet_base::MacAddr;

use crate::{
    core::{eligibility::Reason, preflight::Problem},
    wire::message::{Message, NodeName},
};

/// What a speaker wants to have done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a message to the speaker of a node.
    Send {
        /// The node.
        to: NodeName,
        /// Its address.
        address: IpAddr,
        /// What to say.
        message: Message,
    },
    /// Send all messages from now on with this [`crate::wire::message::Datagram::boot`].
    Boot(u64),
    /// Send a frame.
    Frame {
        /// The index of the interface.
        interface: u32,
        /// The whole frame.
        frame: Vec<u8>,
    },
    /// Be a member of these solicited-node groups, each on the interface of this index, and of no others.
    Groups(BTreeSet<(u32, Ipv6Addr)>),
    /// This is all that the node announces now.
    Ownership(Vec<Owned>),
    /// Something has happened that a user wants to know of.
    Happening(Happening),
    /// This is all that is wrong with the node itself now.
    Problems(BTreeSet<Problem>),
}

/// An address that this node announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The address.
    pub address: IpAddr,
    /// The Services that have it.
    pub services: Vec<ObjectKey>,
    /// The interfaces that it is announced on, where advertisements restrict them.
    pub interfaces: Option<Vec<String>>,
    /// The other nodes that announce another address of one of the Services.
    pub beside: BTreeSet<NodeName>,
}

/// Something that a user wants to know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// This node has taken an address.
    Taken {
        /// The address.
        address: IpAddr,
        /// The Services that have it.
        services: Vec<ObjectKey>,
        /// Who had it.
        from: Option<NodeName>,
        /// Why.
        cause: Cause,
    },
    /// A host that is none of the cluster's says that an address is its own.
    Conflict {
        /// The address.
        address: IpAddr,
        /// The Services that have it.
        services: Vec<ObjectKey>,
        /// The MAC of that host.
        mac: MacAddr,
        /// Whether the address goes on being announced all the same: it was ours before.
        announced: bool,
    },
    /// No node may announce an address.
    Nobody {
        /// The address.
        address: IpAddr,
        /// The Services that have it.
        services: Vec<ObjectKey>,
        /// Why each node may not.
        reasons: BTreeMap<NodeName, Reason>,
    },
    /// What is heard of another speaker has changed.
    Peer {
        /// Its node.
        node: NodeName,
        /// Whether it is silent.
        silent: bool,
    },
    /// This node answers, or no longer answers, for so many addresses of another one.
    StandsIn {
        /// The owner.
        owner: NodeName,
        /// How many.
        addresses: usize,
    },
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken {
                address, from, cause, ..
            } => match from {
                Some(from) => write!(f, "{address} moves here from node {from}: {cause}"),
                None => write!(f, "{address} is this node's: {cause}"),
            },
            Self::Conflict {
                address,
                mac,
                announced,
                ..
            } => {
                let what = if *announced {
                    "it is defended"
                } else {
                    "it is not announced"
                };
                write!(f, "{address} is used by {mac}, which is no node of the cluster; {what}")
            }
            Self::Nobody { address, reasons, .. } => {
                write!(f, "{address} can be announced from no node:")?;
                for (index, (node, reason)) in reasons.iter().enumerate() {
                    write!(f, "{} {node}: {reason}", if index == 0 { "" } else { ";" })?;
                }
                Ok(())
            }
            Self::Peer { node, silent } => {
                let what = if *silent { "silent" } else { "heard again" };
                write!(f, "the speaker of node {node} is {what}")
            }
            Self::StandsIn { owner, addresses: 0 } => write!(f, "this node no longer answers for node {owner}"),
            Self::StandsIn { owner, addresses } => {
                write!(
                    f,
                    "this node answers for {addresses} addresses in place of node {owner}"
                )
            }
        }
    }
}

/// Why an address has got another owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// It had none.
    New,
    /// The owner's node is silent, on the wire too.
    NodeGone,
    /// The owner's speaker has been away for too long.
    SpeakerAway,
    /// The owner has handed it over.
    HandedOver,
    /// The owner may not announce it any more.
    Ineligible(Reason),
    /// The owner no longer claims it.
    Unclaimed,
    /// The new owner is preferred by the configuration.
    Preferred,
    /// The new owner comes first in the order of the hashes.
    Hash,
}

impl Cause {
    /// The word for it in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::NodeGone => "node-gone",
            Self::SpeakerAway => "speaker-away",
            Self::HandedOver => "handed-over",
            Self::Ineligible(_) => "ineligible",
            Self::Unclaimed => "unclaimed",
            Self::Preferred => "preferred",
            Self::Hash => "hash",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("it had no owner"),
            Self::NodeGone => f.write_str("the node is silent"),
            Self::SpeakerAway => f.write_str("its speaker is away"),
            Self::HandedOver => f.write_str("the node was drained or its speaker ended"),
            Self::Ineligible(reason) => write!(f, "{reason}"),
            Self::Unclaimed => f.write_str("it no longer claimed the address"),
            Self::Preferred => f.write_str("the L2Advertisement prefers the new owner"),
            Self::Hash => f.write_str("the new owner comes first with --ownership=hash"),
        }
    }
}

/// How often what has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Addresses that this node has taken, by [`Cause::word`].
    pub taken: BTreeMap<&'static str, u64>,
    /// Doubts whether a speaker that this node watches is alive.
    pub doubts: u64,
    /// Silences of speakers that this node watches.
    pub suspicions: u64,
    /// Times that a node was asked after on the wire.
    pub checks: u64,
    /// Addresses that this node began to answer for in place of another.
    pub stood_in: u64,
    /// What was heard and said of each address that this node announces or has announced, while there is such an address.
    pub traffic: BTreeMap<IpAddr, Traffic>,
    /// ARP frames and NDP frames that were malformed.
    pub malformed: [u64; 2],
}

/// What was heard and said of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that were heard.
    pub requests: u64,
    /// Answers that were given.
    pub responses: u64,
    /// Frames that were sent unasked.
    pub gratuitous: u64,
}

/// How an owned address is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) owned: Owned,
    pub(super) on: Vec<Port>,
}

/// An interface that an address is announced on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) index: u32,
    pub(super) mac: MacAddr,
    pub(super) link_local: Option<Ipv6Addr>,
}
