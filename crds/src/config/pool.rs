//! A validated IPAddressPool.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use kube::ResourceExt;

use super::{Refusal, RefusalReason};
use crate::{
    Family, IPAddressPool, IpRange,
    selector::{Labels, Selector, any_matches},
};

/// An IPAddressPool in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// The name of the object.
    pub name: String,
    /// The labels of the object, by which advertisements select it.
    pub labels: Labels,
    /// The ranges of addresses in the order of the object. Addresses are assigned in this order.
    pub ranges: Vec<IpRange>,
    /// Whether Services that do not request the pool may get its addresses.
    pub auto_assign: bool,
    /// Whether IPv4 addresses that end in .0 or .255 are excluded.
    pub avoid_buggy_ips: bool,
    /// The Services that may use the pool; `None`: all.
    pub allocation: Option<Allocation>,
}

/// Which Services may use a pool, and its rank.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allocation {
    /// The rank: lower numbers come first, 0 comes last.
    pub priority: i64,
    namespaces: BTreeSet<String>,
    namespace_selectors: Vec<Selector>,
    service_selectors: Vec<Selector>,
}

impl Pool {
    pub(super) fn build(raw: &IPAddressPool) -> Result<Self, Refusal> {
        let refuse = |field: &str, message: String| Refusal::of_pool(raw, RefusalReason::Invalid, field, message);
        if raw.spec.addresses.is_empty() {
            return Err(refuse(
                "spec.addresses",
                "a pool needs at least one CIDR or range".to_owned(),
            ));
        }
        let mut ranges = Vec::with_capacity(raw.spec.addresses.len());
        for (index, text) in raw.spec.addresses.iter().enumerate() {
            let range = text.parse::<IpRange>();
            ranges.push(range.map_err(|error| refuse(&format!("spec.addresses[{index}]"), error.to_string()))?);
        }
        let mut allocation = None;
        if let Some(raw) = &raw.spec.service_allocation {
            let selectors = |field: &str, raw: &[_]| {
                raw.iter()
                    .enumerate()
                    .map(|(index, selector)| {
                        let path = || format!("spec.serviceAllocation.{field}[{index}]");
                        Selector::new(selector).map_err(|error| refuse(&path(), error.to_string()))
                    })
                    .collect::<Result<Vec<_>, _>>()
            };
            allocation = Some(Allocation {
                priority: raw.priority.unwrap_or(0),
                namespaces: raw.namespaces.iter().cloned().collect(),
                namespace_selectors: selectors("namespaceSelectors", &raw.namespace_selectors)?,
                service_selectors: selectors("serviceSelectors", &raw.service_selectors)?,
            });
        }
        Ok(Self {
            name: raw.name_any(),
            labels: raw.labels().clone(),
            ranges,
            auto_assign: raw.spec.auto_assign,
            avoid_buggy_ips: raw.spec.avoid_buggy_ips,
            allocation,
        })
    }

    /// Whether `address` can be assigned from the pool.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address)) && !(self.avoid_buggy_ips && is_buggy(address))
    }

    /// Whether a Service may use the pool, given its namespace, the labels of the namespace, and
    /// its own labels.
    #[must_use]
    pub fn serves(&self, namespace: &str, namespace_labels: &Labels, service_labels: &Labels) -> bool {
        self.allocation.as_ref().is_none_or(|allocation| {
            // A selector that matches no namespace closes the pool. Only the absence of
            // restrictions opens it to all namespaces.
            let any_namespace = allocation.namespaces.is_empty() && allocation.namespace_selectors.is_empty();
            (any_namespace
                || allocation.namespaces.contains(namespace)
                || any_matches(&allocation.namespace_selectors, namespace_labels))
                && (allocation.service_selectors.is_empty()
                    || any_matches(&allocation.service_selectors, service_labels))
        })
    }

    /// The sort key of the order in which pools are tried. Pools that are reserved for some
    /// Services come first, by priority (0 is last). Unrestricted pools follow. Equal pools are
    /// sorted by name.
    #[must_use]
    pub fn rank(&self) -> (bool, bool, i64, &str) {
        let priority = self.allocation.as_ref().map_or(0, |allocation| allocation.priority);
        (self.allocation.is_none(), priority == 0, priority, &self.name)
    }

    /// Whether the pool has addresses of `family`.
    #[must_use]
    pub fn has_family(&self, family: Family) -> bool {
        self.ranges.iter().any(|range| range.family() == family)
    }

    /// The number of assignable addresses of `family`. It saturates at `u128::MAX`.
    #[must_use]
    pub fn capacity(&self, family: Family) -> u128 {
        let ranges = self.ranges.iter().filter(|range| range.family() == family);
        ranges.fold(0, |sum: u128, range| {
            let buggy = if self.avoid_buggy_ips { buggy_in(range) } else { 0 };
            sum.saturating_add(range.size() - buggy)
        })
    }
}

/// Whether an IPv4 address ends in .0 or .255.
fn is_buggy(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if matches!(v4.octets()[3], 0 | 255))
}

/// The number of addresses in `range` for which [`is_buggy`] is true.
fn buggy_in(range: &IpRange) -> u128 {
    let (IpAddr::V4(first), IpAddr::V4(last)) = (range.first(), range.last()) else {
        return 0;
    };
    // Counts them from 0.0.0.0 to `address`. Each complete /24 before it has two. Its own /24 adds
    // the .0, and the .255 if that is `address` itself.
    let up_to = |address: Ipv4Addr| {
        let bits = u128::from(address.to_bits());
        (bits >> 8) * 2 + 1 + u128::from(bits & 255 == 255)
    };
    up_to(last) - up_to(first) + u128::from(is_buggy(range.first()))
}
