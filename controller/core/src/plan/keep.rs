//! Decides whether a Service may keep the addresses that it has.

use std::net::IpAddr;

use lodestone_crds::Family;

use super::{choose::Chooser, input::OnPoolChange, text::join_addresses};
use crate::{alloc::AllocationConflict, service_view::FamilyPolicy};

/// Whether a Service may keep the addresses that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// It has none.
    Nothing,
    /// Yes; they are from this pool.
    Yes(Option<String>),
    /// Yes, although their pool would not allocate them today.
    Retained {
        /// The pool that they were from.
        pool: Option<String>,
        /// What happened to that pool.
        why: String,
    },
    /// No; it keeps them only until there is a replacement.
    No(String),
    /// No, and it loses them at once: another Service has one of them, and the two must not share
    /// it. Two Services on one port would take each other's traffic.
    Clash(AllocationConflict),
}

impl Keep {
    /// The pool that the addresses are from.
    pub(super) fn pool(&self) -> Option<String> {
        match self {
            Self::Yes(pool) | Self::Retained { pool, .. } => pool.clone(),
            Self::Nothing | Self::No(_) | Self::Clash(_) => None,
        }
    }
}

impl Chooser<'_> {
    /// Whether the Service may keep `held`.
    pub(super) fn keep(&self, held: &[IpAddr]) -> Keep {
        let service = self.input.service;
        if held.is_empty() {
            return Keep::Nothing;
        }
        let is_foreign = |address: &&IpAddr| !service.families.contains(&Family::of(**address));
        if let Some(foreign) = held.iter().find(is_foreign) {
            return Keep::No(format!("{foreign} is of a family that the Service does not have"));
        }
        if service.family_policy == FamilyPolicy::RequireDual && held.len() < 2 {
            return Keep::No("the Service requires two address families".to_owned());
        }
        match self.clash(held) {
            Some(conflict) => Keep::Clash(conflict),
            None => self.keep_from_pool(held),
        }
    }

    /// The conflict with another holder of one of the addresses. A Service that changed its ports
    /// or its key has to fit in with all others; otherwise only the younger one has to give way.
    fn clash(&self, held: &[IpAddr]) -> Option<AllocationConflict> {
        let service = self.input.service;
        held.iter().find_map(|address| {
            let checked = if self.holder_changed {
                self.allocator.check(&service.holder, &service.key, *address)
            } else {
                self.allocator.check_older(&service.holder, &service.key, *address)
            };
            checked.err()
        })
    }

    fn keep_from_pool(&self, held: &[IpAddr]) -> Keep {
        let config = self.input.config;
        let pool = held.first().and_then(|first| config.pool_of(*first));
        let why = match pool {
            Some(pool) if !held.iter().all(|address| pool.contains(*address)) => {
                format!("{} are no longer in one pool", join_addresses(held))
            }
            Some(pool) if !self.serves(pool) => format!("IPAddressPool {} no longer serves this Service", pool.name),
            Some(pool) => return Keep::Yes(Some(pool.name.clone())),
            None => format!("no IPAddressPool contains {} any longer", join_addresses(held)),
        };
        match (&self.input.service.recorded_pool, self.input.on_pool_change) {
            // Without our annotation this controller did not allocate the addresses. They may be
            // left over from another load balancer, so the Service does not retain them.
            (Some(recorded), OnPoolChange::Retain) => Keep::Retained {
                pool: Some(recorded.clone()),
                why,
            },
            _ => Keep::No(why),
        }
    }
}
