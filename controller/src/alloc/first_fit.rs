//! Looking for an address that a Service can have.

use std::net::IpAddr;

use lodestone_crds::{Family, IpRange, config::Pool};
use lodestone_daemon::ObjectKey;

use super::{Allocator, Tenant, index};

impl Allocator {
    /// The first address of `family` in `pool` that the Service can have: range by range in the order of the pool, the lowest in
    /// each. An address that it may share counts as one that it can have.
    #[must_use]
    pub fn first_fit(&self, pool: &Pool, family: Family, key: &ObjectKey, tenant: &Tenant) -> Option<IpAddr> {
        pool.ranges
            .iter()
            .filter(|range| range.family() == family)
            .find_map(|range| {
                let free = self.lowest_free(pool, range);
                let shared = self.lowest_shared(pool, range, key, tenant);
                free.into_iter().chain(shared).min()
            })
    }

    fn lowest_free(&self, pool: &Pool, range: &IpRange) -> Option<IpAddr> {
        let (first, last) = range.bits();
        let whole = first..=last;
        let gaps = self.used[index(range.family())].gaps(&whole);
        gaps.into_iter().find_map(|gap| {
            // Of any three addresses in a row at least one does not end in .0 or .255: this looks at three of a gap at the most.
            let (from, to) = (*gap.start(), *gap.end());
            (from..=to.min(from.saturating_add(2)))
                .map(|bits| range.family().address(bits))
                .find(|address| pool.contains(*address))
        })
    }

    fn lowest_shared(&self, pool: &Pool, range: &IpRange, key: &ObjectKey, tenant: &Tenant) -> Option<IpAddr> {
        let addresses = self.shared.get(tenant.sharing.as_ref()?)?;
        addresses
            .range(range.first()..=range.last())
            .copied()
            .find(|address| pool.contains(*address) && self.check(tenant, key, *address).is_ok())
    }
}
