//! Lists of values in the text of an event.

use std::net::IpAddr;

use lodestone_crds::Family;

/// Joins addresses for an event.
pub(super) fn join_addresses(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Joins families for an event.
pub(super) fn join_families(families: &[Family]) -> String {
    families
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" and ")
}
