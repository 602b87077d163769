//! Searches a pool for an address that a Service may hold.

use std::net::IpAddr;

use lodestone_crds::{Family, IpRange, ObjectKey, config::Pool};

use super::{AddressHolder, Allocator, index};

impl Allocator {
    /// The first address of `family` in `pool` that the Service may hold: range by range in the
    /// order of the pool, the lowest in each. An address that the Service may share counts.
    #[must_use]
    pub fn first_fit(&self, pool: &Pool, family: Family, key: &ObjectKey, holder: &AddressHolder) -> Option<IpAddr> {
        pool.ranges
            .iter()
            .filter(|range| range.family() == family)
            .find_map(|range| {
                let free = self.lowest_free(pool, range);
                let shared = self.lowest_shared(pool, range, key, holder);
                free.into_iter().chain(shared).min()
            })
    }

    fn lowest_free(&self, pool: &Pool, range: &IpRange) -> Option<IpAddr> {
        let (first, last) = range.bits();
        let whole = first..=last;
        let gaps = self.used[index(range.family())].gaps(&whole);
        gaps.into_iter().find_map(|gap| {
            // Of any three consecutive addresses, at least one does not end in .0 or .255. So three
            // addresses of each gap are enough.
            let (from, to) = (*gap.start(), *gap.end());
            (from..=to.min(from.saturating_add(2)))
                .map(|bits| range.family().address(bits))
                .find(|address| pool.contains(*address))
        })
    }

    fn lowest_shared(&self, pool: &Pool, range: &IpRange, key: &ObjectKey, holder: &AddressHolder) -> Option<IpAddr> {
        let addresses = self.shared.get(holder.sharing_key.as_ref()?)?;
        addresses
            .range(range.first()..=range.last())
            .copied()
            .find(|address| pool.contains(*address) && self.check(holder, key, *address).is_ok())
    }
}
