//! Who holds which address.
//!
//! The allocator is the only state of the controller that is not a copy of what the API server holds, and it is built from that at
//! every start: every address in a Service's status is adopted before the first one is given out. It knows nothing of what it may
//! give to whom for other reasons than sharing: that is the plan's business.

mod first_fit;
mod sharing;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use lodestone_crds::{Family, config::Pool};
use lodestone_daemon::ObjectKey;
use rangemap::RangeInclusiveSet;

pub use sharing::{Backend, Port, Protocol, Tenant};

/// Why a Service can't have an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Taken {
    /// Another Service has it, and one of the two does not share.
    #[error("{address} is in use by Service {by}")]
    InUse {
        /// The address.
        address: IpAddr,
        /// One of the Services that have it.
        by: ObjectKey,
    },
    /// The other Service shares it under another key.
    #[error("{address} is shared by Service {by} under another value of the annotation metallb.io/allow-shared-ip")]
    OtherKey {
        /// The address.
        address: IpAddr,
        /// One of the Services that have it.
        by: ObjectKey,
    },
    /// The two would not reach the same nodes.
    #[error(
        "{address} is shared by Service {by}, which has another externalTrafficPolicy (with Local: another namespace or selector)"
    )]
    OtherBackend {
        /// The address.
        address: IpAddr,
        /// One of the Services that have it.
        by: ObjectKey,
    },
    /// Both want one port.
    #[error("port {port} of {address} is in use by Service {by}")]
    Port {
        /// The address.
        address: IpAddr,
        /// The port.
        port: Port,
        /// The Service that has it.
        by: ObjectKey,
    },
}

impl Taken {
    /// Whether it is that another Service has one of the ports.
    #[must_use]
    pub const fn is_for_ports(&self) -> bool {
        matches!(self, Self::Port { .. })
    }
}

/// Who holds which address.
#[derive(Clone, Debug, Default)]
pub struct Allocator {
    /// The Services that hold an address, and how.
    holders: BTreeMap<IpAddr, BTreeMap<ObjectKey, Tenant>>,
    /// The addresses of a Service, in the order of its status.
    held: HashMap<ObjectKey, Vec<IpAddr>>,
    /// The addresses that a Service gives up: nobody else gets them before its status says so.
    leaving: HashMap<ObjectKey, Vec<IpAddr>>,
    /// The addresses in use, as numbers, so that the lowest free one is found without a walk through them.
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

    /// Every address in use, with the Services that hold it.
    pub fn in_use(&self) -> impl Iterator<Item = (IpAddr, impl Iterator<Item = &ObjectKey>)> {
        self.holders.iter().map(|(address, holders)| (*address, holders.keys()))
    }

    /// How many addresses of `family` that `pool` can give out are in use; one that is shared counts once.
    #[must_use]
    pub fn in_use_of(&self, pool: &Pool, family: Family) -> u64 {
        let ranges = pool.ranges.iter().filter(|range| range.family() == family);
        let count = ranges
            .flat_map(|range| self.holders.range(range.first()..=range.last()))
            .filter(|(address, _)| pool.contains(**address))
            .count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// Whether `tenant` may have `address`, beside those who have it already.
    ///
    /// # Errors
    /// When it may not; the error names who is in the way.
    pub fn check(&self, tenant: &Tenant, key: &ObjectKey, address: IpAddr) -> Result<(), Taken> {
        let others = self
            .holders
            .get(&address)
            .into_iter()
            .flatten()
            .filter(|(holder, _)| *holder != key);
        for (by, other) in others {
            tenant.beside(other, address, by)?;
        }
        Ok(())
    }

    /// Whether `tenant` clashes with somebody who had `address` before it. Of two Services that found themselves with one address only the
    /// younger one has to go.
    ///
    /// # Errors
    /// When it clashes; the error names who is in the way.
    pub fn check_elders(&self, tenant: &Tenant, key: &ObjectKey, address: IpAddr) -> Result<(), Taken> {
        let holders = self.holders.get(&address).into_iter().flatten();
        for (by, other) in holders.filter(|(by, other)| (other.since, *by) < (tenant.since, key)) {
            tenant.beside(other, address, by)?;
        }
        Ok(())
    }

    /// How a Service holds its addresses, or held those that it gives up.
    #[must_use]
    pub fn tenant(&self, key: &ObjectKey) -> Option<&Tenant> {
        let address = self.held(key).first().or_else(|| self.leaving(key).first())?;
        self.holders.get(address)?.get(key)
    }

    /// The addresses that a Service gives up, and that its status may still say.
    #[must_use]
    pub fn leaving(&self, key: &ObjectKey) -> &[IpAddr] {
        self.leaving.get(key).map_or(&[], Vec::as_slice)
    }

    /// Gives `addresses` to a Service, in place of whatever it held. What it held before and no longer does is leaving until
    /// [`Self::left`].
    ///
    /// # Errors
    /// When it may not have one of them; then nothing has changed.
    pub fn take(&mut self, key: &ObjectKey, tenant: &Tenant, addresses: &[IpAddr]) -> Result<(), Taken> {
        let held = self.held(key).to_vec();
        for address in addresses.iter().filter(|address| !held.contains(address)) {
            self.check(tenant, key, *address)?;
        }
        self.hold(key, tenant, addresses);
        Ok(())
    }

    /// As [`Self::take`], whoever else has them: for what a Service has already.
    pub fn hold(&mut self, key: &ObjectKey, tenant: &Tenant, addresses: &[IpAddr]) {
        let before = self.held.remove(key).unwrap_or_default();
        let gone = before.into_iter().filter(|address| !addresses.contains(address));
        let leaving = self.leaving.entry(key.clone()).or_default();
        leaving.extend(gone);
        leaving.retain(|address| !addresses.contains(address));
        if leaving.is_empty() {
            self.leaving.remove(key);
        }
        for address in addresses {
            self.let_go(key, *address);
            self.note(key, tenant, *address);
        }
        if !addresses.is_empty() {
            self.held.insert(key.clone(), addresses.to_vec());
        }
    }

    /// The status of a Service says what it holds: what it has given up is free. Gives that back.
    pub fn left(&mut self, key: &ObjectKey) -> Vec<IpAddr> {
        let addresses = self.leaving.remove(key).unwrap_or_default();
        for address in &addresses {
            self.let_go(key, *address);
        }
        addresses
    }

    /// The Service is gone: everything that it had is free. Gives that back.
    pub fn release(&mut self, key: &ObjectKey) -> Vec<IpAddr> {
        let mut addresses = self.left(key);
        for address in self.held.remove(key).unwrap_or_default() {
            self.let_go(key, address);
            addresses.push(address);
        }
        addresses
    }

    fn note(&mut self, key: &ObjectKey, tenant: &Tenant, address: IpAddr) {
        let bits = Family::bits(address);
        self.used[index(Family::of(address))].insert(bits..=bits);
        if let Some(sharing) = &tenant.sharing {
            self.shared.entry(sharing.clone()).or_default().insert(address);
        }
        self.holders
            .entry(address)
            .or_default()
            .insert(key.clone(), tenant.clone());
    }

    fn let_go(&mut self, key: &ObjectKey, address: IpAddr) {
        let Some(holders) = self.holders.get_mut(&address) else {
            return;
        };
        let sharing = holders.remove(key).and_then(|tenant| tenant.sharing);
        let still_shared = holders
            .values()
            .any(|tenant| sharing.is_some() && tenant.sharing == sharing);
        if holders.is_empty() {
            self.holders.remove(&address);
            let bits = Family::bits(address);
            self.used[index(Family::of(address))].remove(bits..=bits);
        }
        if let Some(sharing) = sharing.filter(|_| !still_shared)
            && let Some(addresses) = self.shared.get_mut(&sharing)
        {
            addresses.remove(&address);
            if addresses.is_empty() {
                self.shared.remove(&sharing);
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
