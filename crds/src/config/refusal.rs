//! Why an object is not in use.

use std::fmt;

use kube::{Resource, ResourceExt};

use crate::{IPAddressPool, L2Advertisement};

/// The kinds of configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A pool.
    IPAddressPool,
    /// An advertisement by ARP and NDP.
    L2Advertisement,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What kind of thing is wrong; printed as the reason of the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// A field does not parse.
    Invalid,
    /// Its addresses belong to an older pool, or stand in it twice.
    Overlaps,
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An object that is not in use, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name; all configuration lives in one namespace.
    pub name: String,
    /// What kind of thing is wrong.
    pub reason: RefusalReason,
    /// The path of the field that is wrong; empty when the object as a whole is.
    pub field: String,
    /// What is wrong with it, for a human.
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

    /// The field and what is wrong with it.
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
