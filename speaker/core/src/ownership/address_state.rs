//! What this node remembers of one address beside the claim in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use crate::{event::OwnershipCause, ineligibility::IneligibilityReason, types::NodeName, wire::message::Claim};

/// What this node remembers of one address.
#[derive(Clone, Debug, Default)]
pub(super) struct AddressState {
    /// Since when it has had no owner although a node is eligible.
    pub(super) unowned_since: Option<Instant>,
    /// Since when this node would be the better owner.
    pub(super) better_since: Option<Instant>,
    /// Since when this node, no longer eligible, goes on announcing it until another node does.
    pub(super) lingering_since: Option<Instant>,
    /// That no node is eligible.
    pub(super) no_eligible_node: Option<NoEligibleNode>,
    /// That another node took it from this one, although this one considers that node ineligible.
    pub(super) contention: Option<Contention>,
    /// Why this node took it, and from which node.
    pub(super) taken: Option<Acquisition>,
    /// This node's claim, until the former owner acknowledges it.
    pub(super) unacknowledged: Option<UnacknowledgedClaim>,
    /// This node's release, until it was repeated often enough.
    pub(super) release: Option<RepeatedRelease>,
    /// The new owner whose claim this node acknowledged last, and when.
    pub(super) yielded: Option<(NodeName, Instant)>,
    /// Another node that answers for it, although this one owns it.
    pub(super) rival: Option<Rival>,
    /// A claim from another part of the segment.
    pub(super) distant: Option<DistantClaim>,
    /// Whether a deputy has confirmed that it answers for it.
    pub(super) covered: bool,
}

/// A claim from the other part of the segment.
#[derive(Clone, Debug)]
pub(super) struct DistantClaim {
    pub(super) node: NodeName,
    pub(super) claim: Claim,
    /// When it was heard first.
    pub(super) since: Instant,
    /// When it was heard last.
    pub(super) heard: Instant,
    pub(super) relayed: bool,
}

/// How this node became the owner.
#[derive(Clone, Debug)]
pub(crate) struct Acquisition {
    pub(crate) from: Option<NodeName>,
    pub(crate) cause: OwnershipCause,
    /// The nodes that were missing then, and that may get the address later. Empty if the takeover
    /// is not provisional.
    pub(crate) missing: Arc<BTreeSet<NodeName>>,
}

/// No node is eligible to own an address.
#[derive(Clone, Debug)]
pub(super) struct NoEligibleNode {
    pub(super) since: Instant,
    /// The reasons as last reported.
    pub(super) reported: Option<BTreeMap<NodeName, IneligibilityReason>>,
}

/// Two nodes that disagree on eligibility must not take an address from each other forever: each
/// waits longer each time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contention {
    pub(super) times: u32,
    pub(super) last: Instant,
}

/// A claim that the previous owner has not acknowledged yet.
#[derive(Clone, Debug)]
pub(super) struct UnacknowledgedClaim {
    pub(super) previous_owner: NodeName,
    pub(super) copies_left: u32,
    pub(super) due: Instant,
}

/// A release that is broadcast again, so that a node that missed it need not wait for anti-entropy.
#[derive(Clone, Copy, Debug)]
pub(super) struct RepeatedRelease {
    pub(super) copies_left: u32,
    pub(super) due: Instant,
}

/// Another node that answers for an address of this one.
#[derive(Clone, Debug)]
pub(super) struct Rival {
    pub(super) node: NodeName,
    pub(super) first: Instant,
    pub(super) last: Instant,
}
