//! A change of one Service's addresses, as a plan decides it.

use std::net::IpAddr;

use lodestone_crds::ObjectKey;

use super::{AddressHolder, Allocator};

/// The addresses that one Service is to hold, in place of those that it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// How the Service holds them.
    pub holder: AddressHolder,
    /// Addresses that another writer put into the status and that the Service may hold. It holds
    /// them first. Those that are not in `addresses` then stay occupied until the status is
    /// written.
    pub followed: Option<Vec<IpAddr>>,
    /// What the Service holds in the end.
    pub addresses: Vec<IpAddr>,
}

impl Allocator {
    /// Applies what was planned for a Service.
    pub fn apply(&mut self, key: &ObjectKey, assignment: &Assignment) {
        if let Some(followed) = &assignment.followed {
            self.hold(key, &assignment.holder, followed);
        }
        self.hold(key, &assignment.holder, &assignment.addresses);
    }

    /// Whether [`Self::apply`] would change anything.
    pub(crate) fn is_changed_by(&self, key: &ObjectKey, assignment: &Assignment) -> bool {
        let held = self.held(key);
        let same_holder = held.is_empty() || self.holder(key) == Some(&assignment.holder);
        assignment.followed.is_some() || held != assignment.addresses || !same_holder
    }
}
