//! Why a configuration object is not in use.

use std::fmt;

use kube::{Resource, ResourceExt};

use crate::{IPAddressPool, L2Advertisement};

/// The kinds of configuration objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A pool of addresses.
    IPAddressPool,
    /// An advertisement by ARP and NDP.
    L2Advertisement,
}

impl ObjectKind {
    /// The kind as the API server spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IPAddressPool => "IPAddressPool",
            Self::L2Advertisement => "L2Advertisement",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The class of the problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// A field is invalid.
    Invalid,
    /// The pool overlaps with an older pool or with itself.
    Overlaps,
}

impl RefusalReason {
    /// The reason of the condition `Accepted`, by which programs tell problems apart.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid",
            Self::Overlaps => "Overlaps",
        }
    }
}

/// An object that is not in use, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of the object.
    pub kind: ObjectKind,
    /// The name of the object. All configuration is in one namespace.
    pub name: String,
    /// The class of the problem.
    pub reason: RefusalReason,
    /// The path of the invalid field; empty if the problem is the object as a whole.
    pub field: String,
    /// The description of the problem, for people.
    pub message: String,
}

impl Refusal {
    pub(super) fn of_pool(pool: &IPAddressPool, reason: RefusalReason, field: &str, message: String) -> Self {
        Self::of(ObjectKind::IPAddressPool, pool, reason, field, message)
    }

    pub(super) fn of_l2(advertisement: &L2Advertisement, field: &str, message: String) -> Self {
        Self::of(
            ObjectKind::L2Advertisement,
            advertisement,
            RefusalReason::Invalid,
            field,
            message,
        )
    }

    fn of<K: Resource>(kind: ObjectKind, object: &K, reason: RefusalReason, field: &str, message: String) -> Self {
        Self {
            kind,
            name: object.name_any(),
            reason,
            field: field.to_owned(),
            message,
        }
    }

    /// Returns the field and the description of the problem.
    #[must_use]
    pub fn text(&self) -> String {
        if self.field.is_empty() {
            self.message.clone()
        } else {
            format!("{}: {}", self.field, self.message)
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind, self.name, self.text())
    }
}
