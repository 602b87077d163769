//! Why a node is not eligible to own an address.

use std::fmt;

/// Why a node is not eligible to own an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IneligibilityReason {
    /// No speaker is heard from the node.
    NoSpeaker,
    /// The speaker of the node is heard, but not on a segment where it would announce the address.
    FailedOnSegment,
    /// The address is one of the node itself, by its Node object.
    OwnAddress,
    /// The address is one of another node itself, by its Node object or on one of its interfaces.
    NodeAddress,
    /// Its Node object was deleted.
    NodeDeleted,
    /// The node has the condition NetworkUnavailable.
    NetworkUnavailable,
    /// The node has the label that excludes it from load balancing.
    ExcludedByLabel,
    /// No L2Advertisement covers the Service, its pool and the node.
    NoAdvertisement,
    /// The Service shares its address, and an advertisement with serviceSelectors covers it.
    SharesAndIsSelected,
    /// No interface is up, has carrier, is allowed, and has IPv6 for an IPv6 address.
    NoInterface,
    /// The address is in a prefix of other nodes, but not of this one.
    NoPrefix,
    /// The address is in no node's prefix, and this node lacks carrier on an interface where others
    /// have it.
    NoCarrier,
    /// No endpoint serves.
    NoEndpoint,
    /// externalTrafficPolicy is Local, and no endpoint serves on the node.
    NoLocalEndpoint,
    /// externalTrafficPolicy is Local, and all endpoints on the node are terminating while other
    /// nodes have some that stay.
    EndpointsTerminating,
}

impl IneligibilityReason {
    /// Whether the reason is only that the speaker of the node is not heard. Such a node may keep
    /// what it owns, and its deputy answers.
    pub(crate) const fn is_silence(self) -> bool {
        matches!(self, Self::NoSpeaker | Self::FailedOnSegment)
    }
}

impl fmt::Display for IneligibilityReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpeaker => "no speaker is heard from it",
            Self::FailedOnSegment => "its speaker is not heard on the network of the address",
            Self::OwnAddress => "the address is its own",
            Self::NodeAddress => "the address is another node's own",
            Self::NodeDeleted => "its Node was deleted",
            Self::NetworkUnavailable => "its condition NetworkUnavailable is True",
            Self::ExcludedByLabel => "it has the label node.kubernetes.io/exclude-from-external-load-balancers",
            Self::NoAdvertisement => "no L2Advertisement covers the Service, its pool and the node",
            Self::SharesAndIsSelected => {
                "an L2Advertisement with serviceSelectors cannot announce an address that Services share"
            }
            Self::NoInterface => {
                "no usable interface (must be up, not excluded, allowed by an L2Advertisement, and have IPv6 for an IPv6 address)"
            }
            Self::NoPrefix => "the address is in no prefix of its interfaces, but in a prefix of another node",
            Self::NoCarrier => "an interface that would announce the address has no carrier",
            Self::NoEndpoint => "no endpoint of the Service serves",
            Self::NoLocalEndpoint => "externalTrafficPolicy is Local and no endpoint serves on it",
            Self::EndpointsTerminating => "externalTrafficPolicy is Local and all endpoints on it are terminating",
        })
    }
}
