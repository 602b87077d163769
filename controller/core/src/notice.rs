//! What users learn as Kubernetes events.

use k8s_openapi::api::core::v1::ObjectReference;

/// The reason of an event, by which programs tell events apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventReason {
    /// The Service got an address.
    IpAllocated,
    /// The Service lost an address.
    ClearAssignment,
    /// The Service cannot get the address that it needs.
    AllocationFailed,
    /// The Service has an address, and what it asks for is not valid.
    LoadBalancerFailed,
    /// The Service has one address family and cannot get the second one that it prefers.
    AdditionalAssignFailed,
    /// The Service keeps an address that its pool would not give it today.
    AddressRetained,
    /// The Service uses annotations of the deprecated prefix.
    DeprecatedAnnotation,
    /// A pool or an advertisement is not in use because it is not valid.
    Refused,
    /// The controller has a defect.
    InternalError,
}

impl EventReason {
    /// The reason as it stands in the event. Those that MetalLB also sends have MetalLB's names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IpAllocated => "IPAllocated",
            Self::ClearAssignment => "ClearAssignment",
            Self::AllocationFailed => "AllocationFailed",
            Self::LoadBalancerFailed => "LoadBalancerFailed",
            Self::AdditionalAssignFailed => "AdditionalAssignFailed",
            Self::AddressRetained => "AddressRetained",
            Self::DeprecatedAnnotation => "deprecatedAnnotation",
            Self::Refused => "Refused",
            Self::InternalError => "InternalError",
        }
    }

    /// Whether the event is a warning: a user should act on it.
    #[must_use]
    pub const fn is_warning(self) -> bool {
        match self {
            Self::IpAllocated | Self::ClearAssignment | Self::AdditionalAssignFailed => false,
            Self::AllocationFailed
            | Self::LoadBalancerFailed
            | Self::AddressRetained
            | Self::DeprecatedAnnotation
            | Self::Refused
            | Self::InternalError => true,
        }
    }
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Why it is sent.
    pub reason: EventReason,
    /// The text for users.
    pub text: String,
}

impl Notice {
    pub(crate) const fn new(reason: EventReason, text: String) -> Self {
        Self { reason, text }
    }

    /// An event of reason [`EventReason::Refused`].
    #[must_use]
    pub const fn refused(text: String) -> Self {
        Self::new(EventReason::Refused, text)
    }
}

/// A notice, and the object that it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectNotice {
    /// The Service, pool or advertisement that the event is attached to.
    pub object: ObjectReference,
    /// What the event says.
    pub notice: Notice,
}
