//! Why an address has a new owner.

use std::fmt;

use crate::ineligibility::IneligibilityReason;

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
    /// The owner took it while the new owner was missing, and had more than its fair share.
    Rebalanced,
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
            Self::Rebalanced => "rebalanced",
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
            Self::Rebalanced => f.write_str("the former owner took it while other nodes were missing"),
        }
    }
}
