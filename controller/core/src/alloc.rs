//! Which Service holds which address.
//!
//! The allocator is the only state of the controller that is not a copy of what the API server
//! holds. It is rebuilt at every start: every address in a Service's status is adopted before the
//! first new one is allocated. The allocator knows only the rules of sharing. All other rules about
//! which Service may get which address belong to the plan.

mod assignment;
mod first_fit;
mod sharing;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use lodestone_crds::{Family, ObjectKey, config::Pool};
use rangemap::RangeInclusiveSet;

pub use assignment::Assignment;
pub use sharing::{AddressHolder, Backend, Port, Protocol};

/// Why a Service cannot hold an address beside the Service `by`, which holds it already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocationConflict {
    /// One of the two Services does not share addresses.
    #[error("{address} is in use by Service {by}")]
    InUse {
        /// The address that cannot be held.
        address: IpAddr,
        /// One of the Services that hold it.
        by: ObjectKey,
    },
    /// Both Services share addresses, but under different keys.
    #[error("{address} is shared by Service {by} under another value of the annotation metallb.io/allow-shared-ip")]
    OtherKey {
        /// The address that cannot be held.
        address: IpAddr,
        /// One of the Services that hold it.
        by: ObjectKey,
    },
    /// Different nodes would serve the two Services.
    #[error(
        "{address} is shared by Service {by}, which has another externalTrafficPolicy (with Local: another namespace or selector)"
    )]
    OtherBackend {
        /// The address that cannot be held.
        address: IpAddr,
        /// One of the Services that hold it.
        by: ObjectKey,
    },
    /// Both Services have the same port, so they would take each other's traffic.
    #[error("port {port} of {address} is in use by Service {by}")]
    Port {
        /// The address that cannot be held.
        address: IpAddr,
        /// The first port that both have.
        port: Port,
        /// The Service that has it already.
        by: ObjectKey,
    },
}

impl AllocationConflict {
    /// Whether the reason is that another Service has one of the ports.
    #[must_use]
    pub const fn is_for_ports(&self) -> bool {
        matches!(self, Self::Port { .. })
    }
}

/// Which Service holds which address.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    /// The Services that hold an address, and how.
    holders: BTreeMap<IpAddr, BTreeMap<ObjectKey, AddressHolder>>,
    /// The addresses of a Service, in the order of its status.
    held: HashMap<ObjectKey, Vec<IpAddr>>,
    /// The addresses that a Service is releasing. No other Service gets one before the status of
    /// the releasing Service no longer lists it.
    releasing: HashMap<ObjectKey, Vec<IpAddr>>,
    /// The addresses in use, as numbers, so that the lowest free one is found without visiting
    /// each.
    used: [RangeInclusiveSet<u128>; 2],
    /// The addresses that are shared under a key.
    shared: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl Allocator {
    /// The addresses that a Service holds.
    #[must_use]
    pub fn held(&self, key: &ObjectKey) -> &[IpAddr] {
        self.held.get(key).map_or(&[], Vec::as_slice)
    }

    /// The addresses that a Service is releasing, and that its status may still list.
    #[must_use]
    pub fn releasing(&self, key: &ObjectKey) -> &[IpAddr] {
        self.releasing.get(key).map_or(&[], Vec::as_slice)
    }

    /// How a Service holds its addresses, or held those that it is releasing.
    #[must_use]
    pub fn holder(&self, key: &ObjectKey) -> Option<&AddressHolder> {
        let address = self.held(key).first().or_else(|| self.releasing(key).first())?;
        self.holders.get(address)?.get(key)
    }

    /// Every address in use, with the Services that hold it.
    pub fn in_use(&self) -> impl Iterator<Item = (IpAddr, impl Iterator<Item = &ObjectKey>)> {
        self.holders.iter().map(|(address, holders)| (*address, holders.keys()))
    }

    /// How many addresses of `family` that `pool` can allocate are in use. A shared one counts
    /// once.
    #[must_use]
    pub fn in_use_of(&self, pool: &Pool, family: Family) -> u64 {
        let ranges = pool.ranges.iter().filter(|range| range.family() == family);
        let count = ranges
            .flat_map(|range| self.holders.range(range.first()..=range.last()))
            .filter(|(address, _)| pool.contains(**address))
            .count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// Checks whether Service `key` may hold `address` beside all its other holders.
    ///
    /// # Errors
    /// When it may not; the error names a Service that conflicts.
    pub fn check(&self, holder: &AddressHolder, key: &ObjectKey, address: IpAddr) -> Result<(), AllocationConflict> {
        let holders = self.holders.get(&address).into_iter().flatten();
        for (by, other) in holders.filter(|(by, _)| *by != key) {
            holder.check_beside(other, address, by)?;
        }
        Ok(())
    }

    /// Checks whether Service `key` may hold `address` beside the holders that are older than it.
    /// Of two Services that are found with one address, only the younger one has to give way.
    ///
    /// # Errors
    /// When it may not; the error names a Service that conflicts.
    pub fn check_older(
        &self,
        holder: &AddressHolder,
        key: &ObjectKey,
        address: IpAddr,
    ) -> Result<(), AllocationConflict> {
        let holders = self.holders.get(&address).into_iter().flatten();
        for (by, other) in holders.filter(|(by, other)| (other.since, *by) < (holder.since, key)) {
            holder.check_beside(other, address, by)?;
        }
        Ok(())
    }

    /// Checks whether Service `key` may hold all of `addresses`, given those in `held` already.
    ///
    /// # Errors
    /// When it may not hold one of them.
    pub(crate) fn check_new(
        &self,
        holder: &AddressHolder,
        key: &ObjectKey,
        addresses: &[IpAddr],
        held: &[IpAddr],
    ) -> Result<(), AllocationConflict> {
        let mut new = addresses.iter().filter(|address| !held.contains(address));
        new.try_for_each(|address| self.check(holder, key, *address))
    }

    /// Allocates `addresses` to a Service in place of those that it held, as [`Self::hold`] does.
    ///
    /// # Errors
    /// When the Service may not hold one of them. Then nothing has changed.
    pub fn take(
        &mut self,
        key: &ObjectKey,
        holder: &AddressHolder,
        addresses: &[IpAddr],
    ) -> Result<(), AllocationConflict> {
        self.check_new(holder, key, addresses, self.held(key))?;
        self.hold(key, holder, addresses);
        Ok(())
    }

    /// Records that a Service holds `addresses`, in place of those that it held, without any check.
    /// An address that it held before and no longer holds is releasing until
    /// [`Self::finish_release`].
    pub fn hold(&mut self, key: &ObjectKey, holder: &AddressHolder, addresses: &[IpAddr]) {
        let before = self.held.remove(key).unwrap_or_default();
        let gone = before.into_iter().filter(|address| !addresses.contains(address));
        let releasing = self.releasing.entry(key.clone()).or_default();
        releasing.extend(gone);
        releasing.retain(|address| !addresses.contains(address));
        if releasing.is_empty() {
            self.releasing.remove(key);
        }
        for address in addresses {
            self.remove_holder(key, *address);
            self.insert_holder(key, holder, *address);
        }
        if !addresses.is_empty() {
            self.held.insert(key.clone(), addresses.to_vec());
        }
    }

    /// Frees and returns the addresses that a Service was releasing: its status no longer lists
    /// them.
    pub fn finish_release(&mut self, key: &ObjectKey) -> Vec<IpAddr> {
        let addresses = self.releasing.remove(key).unwrap_or_default();
        for address in &addresses {
            self.remove_holder(key, *address);
        }
        addresses
    }

    /// Frees and returns every address of a Service that no longer exists.
    pub fn release_all(&mut self, key: &ObjectKey) -> Vec<IpAddr> {
        let mut addresses = self.finish_release(key);
        for address in self.held.remove(key).unwrap_or_default() {
            self.remove_holder(key, address);
            addresses.push(address);
        }
        addresses
    }

    fn insert_holder(&mut self, key: &ObjectKey, holder: &AddressHolder, address: IpAddr) {
        let bits = Family::bits(address);
        self.used[index(Family::of(address))].insert(bits..=bits);
        if let Some(sharing_key) = &holder.sharing_key {
            self.shared.entry(sharing_key.clone()).or_default().insert(address);
        }
        self.holders
            .entry(address)
            .or_default()
            .insert(key.clone(), holder.clone());
    }

    fn remove_holder(&mut self, key: &ObjectKey, address: IpAddr) {
        let Some(holders) = self.holders.get_mut(&address) else {
            return;
        };
        let sharing_key = holders.remove(key).and_then(|holder| holder.sharing_key);
        let still_shared = holders
            .values()
            .any(|holder| sharing_key.is_some() && holder.sharing_key == sharing_key);
        if holders.is_empty() {
            self.holders.remove(&address);
            let bits = Family::bits(address);
            self.used[index(Family::of(address))].remove(bits..=bits);
        }
        if let Some(sharing_key) = sharing_key.filter(|_| !still_shared)
            && let Some(addresses) = self.shared.get_mut(&sharing_key)
        {
            addresses.remove(&address);
            if addresses.is_empty() {
                self.shared.remove(&sharing_key);
            }
        }
    }
}

const fn index(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

#[cfg(test)]
mod tests;
