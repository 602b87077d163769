//! Chooses addresses for a Service.

use std::net::IpAddr;

use lodestone_crds::{Family, config::Pool};

use super::{
    input::PlanInput,
    text::{join_addresses, join_families},
    unmet_request::UnmetRequest,
};
use crate::{alloc::Allocator, service_view::FamilyPolicy};

/// The addresses that a Service gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) addresses: Vec<IpAddr>,
    /// The pool that they are from.
    pub(super) pool: Option<String>,
    /// What the Service prefers and does not get.
    pub(super) missing: Option<String>,
}

/// Searches for the addresses of one Service.
pub(super) struct Chooser<'a> {
    pub(super) input: PlanInput<'a>,
    pub(super) allocator: &'a Allocator,
    /// Whether the Service holds its addresses on other terms than its present ones: its ports, its
    /// sharing key or its backend have changed.
    pub(super) holder_changed: bool,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(input: PlanInput<'a>, allocator: &'a Allocator) -> Self {
        Self {
            input,
            allocator,
            holder_changed: allocator.holder(&input.service.key) != Some(&input.service.holder),
        }
    }
}

impl Chooser<'_> {
    /// Whether `pool` serves the Service.
    pub(super) fn serves(&self, pool: &Pool) -> bool {
        let service = self.input.service;
        pool.serves(service.key.namespace(), self.input.namespace_labels, &service.labels)
    }

    /// The addresses that the Service asks for by name.
    pub(super) fn requested(&self, addresses: &[IpAddr]) -> Result<Pick, UnmetRequest> {
        let service = self.input.service;
        let asked: Vec<Family> = addresses.iter().map(|address| Family::of(*address)).collect();
        let fits = asked.iter().all(|family| service.families.contains(family));
        if !fits || (service.family_policy == FamilyPolicy::RequireDual && asked.len() < 2) {
            return Err(UnmetRequest::Families {
                asked: join_families(&asked),
                has: join_families(&service.families),
            });
        }
        let mut from: Option<&Pool> = None;
        for address in addresses {
            let pool = self
                .input
                .config
                .pool_of(*address)
                .ok_or(UnmetRequest::NotInPools(*address))?;
            if from.is_some_and(|from| from.name != pool.name) {
                return Err(UnmetRequest::TwoPools(join_addresses(addresses)));
            }
            if let Some(requested) = service
                .requested_pool
                .as_ref()
                .filter(|requested| **requested != pool.name)
            {
                let (pool, requested) = (pool.name.clone(), requested.clone());
                return Err(UnmetRequest::OtherPool {
                    address: *address,
                    pool,
                    requested,
                });
            }
            if !self.serves(pool) {
                return Err(UnmetRequest::Closed(pool.name.clone()));
            }
            self.allocator.check(&service.holder, &service.key, *address)?;
            from = Some(pool);
        }
        Ok(Pick {
            addresses: addresses.to_vec(),
            pool: from.map(|pool| pool.name.clone()),
            missing: None,
        })
    }

    /// Any addresses: from the pool that the Service names, else from the first pool in rank that
    /// has some.
    pub(super) fn any(&self, held: &[IpAddr]) -> Result<Pick, UnmetRequest> {
        let service = self.input.service;
        let require = service.family_policy == FamilyPolicy::RequireDual;
        if require && service.families.len() < 2 {
            return Err(UnmetRequest::OneClusterAddress);
        }
        let pools = self.candidate_pools()?;
        if require && let Some(pick) = self.with_second(held, &pools) {
            return Ok(pick);
        }
        // Pools reserved for some Services come before the common ones, even if only the common
        // ones have both families.
        let (reserved, common): (Vec<&Pool>, Vec<&Pool>) = pools.iter().partition(|pool| pool.allocation.is_some());
        let pick = [reserved, common].into_iter().find_map(|pools| {
            let both = || pools.iter().find_map(|pool| self.both(pool));
            // A Service that prefers both families gets its primary one first.
            let one = || {
                service
                    .families
                    .iter()
                    .find_map(|family| pools.iter().find_map(|pool| self.one(pool, *family)))
            };
            match (service.families.len() == 2, require) {
                (true, true) => both(),
                (true, false) => both().or_else(one),
                (false, _) => one(),
            }
        });
        pick.ok_or_else(|| UnmetRequest::Exhausted(self.why_none(&pools)))
    }

    /// The one address that a Service holds, with one of the other family from the same pool.
    fn with_second(&self, held: &[IpAddr], pools: &[&Pool]) -> Option<Pick> {
        let [have] = held else { return None };
        let pool = pools.iter().find(|pool| pool.contains(*have))?;
        let more = self.one(pool, Family::of(*have).other())?;
        Some(Pick {
            addresses: [vec![*have], more.addresses].concat(),
            ..more
        })
    }

    /// Adds the other family to a Service that prefers two and has one. The Service never moves to
    /// another pool for that.
    pub(super) fn topped_up(&self, held: &[IpAddr], kept: Pick) -> Pick {
        let service = self.input.service;
        let pool = kept.pool.as_ref().and_then(|name| self.input.config.pools.get(name));
        let ([have], Some(pool), 2) = (held, pool, service.families.len()) else {
            return kept;
        };
        let other = Family::of(*have).other();
        match self.allocator.first_fit(pool, other, &service.key, &service.holder) {
            Some(more) => Pick {
                addresses: vec![*have, more],
                ..kept
            },
            None if pool.has_family(other) => {
                let missing = format!(
                    "no {other} address of IPAddressPool {} is free to go with {have}",
                    pool.name
                );
                Pick {
                    missing: Some(missing),
                    ..kept
                }
            }
            None => kept,
        }
    }

    /// The pools to choose from: the one that the Service asks for, else the automatic ones.
    fn candidate_pools(&self) -> Result<Vec<&Pool>, UnmetRequest> {
        let Some(name) = &self.input.service.requested_pool else {
            return Ok(self.automatic_pools());
        };
        match self.input.config.pools.get(name) {
            None => Err(UnmetRequest::UnknownPool(name.clone())),
            Some(pool) if !self.serves(pool) => Err(UnmetRequest::Closed(name.clone())),
            Some(pool) => Ok(vec![pool]),
        }
    }

    /// The pools that serve this Service without a request, in the order in which they are tried.
    fn automatic_pools(&self) -> Vec<&Pool> {
        let mut pools: Vec<&Pool> = self
            .input
            .config
            .pools
            .values()
            .filter(|pool| pool.auto_assign && self.serves(pool))
            .collect();
        pools.sort_by(|a, b| a.rank().cmp(&b.rank()));
        pools
    }

    fn one(&self, pool: &Pool, family: Family) -> Option<Pick> {
        let service = self.input.service;
        let address = self.allocator.first_fit(pool, family, &service.key, &service.holder)?;
        Some(Pick {
            addresses: vec![address],
            pool: Some(pool.name.clone()),
            missing: None,
        })
    }

    fn both(&self, pool: &Pool) -> Option<Pick> {
        let (v4, v6) = (self.one(pool, Family::V4)?, self.one(pool, Family::V6)?);
        Some(Pick {
            addresses: [v4.addresses, v6.addresses].concat(),
            ..v4
        })
    }

    fn why_none(&self, pools: &[&Pool]) -> String {
        let wanted = join_families(&self.input.service.families);
        let names = |pools: &mut dyn Iterator<Item = &Pool>| {
            pools.map(|pool| pool.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        if self.input.config.pools.is_empty() {
            return "there is no IPAddressPool".to_owned();
        }
        if pools.is_empty() {
            let all = names(&mut self.input.config.pools.values());
            return format!("no IPAddressPool serves this Service (autoAssign, serviceAllocation); there are {all}");
        }
        format!("no {wanted} address is free in {}", names(&mut pools.iter().copied()))
    }
}
