//! Whether a Service may go on with the addresses that it has.

use std::net::IpAddr;

use lodestone_crds::Family;

use super::{OnPoolChange, choose::Chooser, list};
use crate::{alloc::Taken, service_view::FamilyPolicy};

/// Whether a Service may go on with the addresses that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// It has none.
    Nothing,
    /// Yes; they are from this pool.
    Yes(Option<String>),
    /// Its pool would not give them out today, but they are its own.
    Retained {
        /// The pool that they were from.
        pool: Option<String>,
        /// What happened to it.
        why: String,
    },
    /// No; they stay only for as long as there is no replacement.
    No(String),
    /// No, and not even for so long: another Service has one of them that does not share it with this one. Two on one port would take
    /// each other's traffic.
    Clash(Taken),
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
    /// Whether the Service may go on with `held`.
    pub(super) fn keep(&self, held: &[IpAddr]) -> Keep {
        let service = self.facts.service;
        let Some(first) = held.first() else {
            return Keep::Nothing;
        };
        if let Some(stranger) = held
            .iter()
            .find(|address| !service.families.contains(&Family::of(**address)))
        {
            return Keep::No(format!("{stranger} is of a family that the Service does not have"));
        }
        if service.family_policy == FamilyPolicy::RequireDual && held.len() < 2 {
            return Keep::No("the Service requires two address families".to_owned());
        }
        // Whoever changes its ports or its key must fit in with everybody; otherwise the one that was there first stays.
        let changed = self.allocator.tenant(&service.key) != Some(&service.tenant);
        let clash = held.iter().find_map(|address| {
            if changed {
                self.allocator.check(&service.tenant, &service.key, *address).err()
            } else {
                self.allocator
                    .check_elders(&service.tenant, &service.key, *address)
                    .err()
            }
        });
        if let Some(taken) = clash {
            return Keep::Clash(taken);
        }
        let pool = self.facts.config.pool_of(*first);
        let why = match pool {
            Some(pool) if !held.iter().all(|address| pool.contains(*address)) => {
                format!("{} are no longer in one pool", list(held))
            }
            Some(pool) if !self.serves(pool) => format!("IPAddressPool {} no longer serves this Service", pool.name),
            Some(pool) => return Keep::Yes(Some(pool.name.clone())),
            None => format!("no IPAddressPool holds {} any more", list(held)),
        };
        match (&service.recorded_pool, self.facts.on_pool_change) {
            // Without our annotation nobody here has given it out: it may be another load balancer's leftover.
            (Some(recorded), OnPoolChange::Retain) => Keep::Retained {
                pool: Some(recorded.clone()),
                why,
            },
            _ => Keep::No(why),
        }
    }
}
