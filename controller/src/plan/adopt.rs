//! What is in use already: by our Services, by those that leave us, and by those of other load balancers.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::LoadBalancerIngress;
use lodestone_crds::{Config, Family};
use lodestone_daemon::events::Note;

use super::{Facts, Plan, Write, choose::Chooser, keep::Keep, list};
use crate::{
    alloc::{Allocator, Tenant},
    service_view::ServiceView,
};

/// When a Service of another load balancer got its addresses, in the allocator: whoever has one of them from us was there before.
pub(super) const FOREIGN: Option<Timestamp> = Some(Timestamp::MAX);

/// Takes note of what another load balancer has given out: nobody else gets it from us.
pub(super) fn observe(service: &ServiceView, allocator: &mut Allocator) {
    let tenant = Tenant {
        sharing: None,
        since: FOREIGN,
        ..service.tenant.clone()
    };
    // Its status says so already: what it no longer says is free as soon as this has been looked at.
    let recorded = if service.balanced { service.recorded() } else { vec![] };
    allocator.hold(&service.key, &tenant, &recorded);
}

/// Takes back what a Service that is no longer ours had from us.
pub(super) fn withdraw(service: &ServiceView, allocator: &mut Allocator) -> Plan {
    let held = allocator.held(&service.key).to_vec();
    allocator.hold(&service.key, &service.tenant, &[]);
    let had: Vec<IpAddr> = allocator.leaving(&service.key).to_vec();
    let unmarked = service.recorded_pool.is_none() && service.ports_error.is_none();
    if had.is_empty() && (service.balanced || unmarked) {
        // It is another load balancer's, whose annotations may be like ours; or it never had anything to do with us.
        return Plan::default();
    }
    let mine = |entry: &LoadBalancerIngress| {
        let address = entry.ip.as_deref().and_then(|ip| ip.parse().ok());
        !service.balanced || address.is_some_and(|address| had.contains(&address))
    };
    let ingress: Vec<_> = service.ingress.iter().filter(|entry| !mine(entry)).cloned().collect();
    let changed = ingress != service.ingress || service.recorded_pool.is_some() || service.ports_error.is_some();
    let notes = if held.is_empty() {
        vec![]
    } else {
        let text = format!("{} is free: the Service is no longer served", list(&held));
        vec![Note {
            warning: false,
            reason: "ClearAssignment",
            text,
        }]
    };
    Plan {
        write: changed.then_some(Write {
            ingress,
            ..Write::default()
        }),
        notes,
        ..Plan::default()
    }
}

/// Before anything is given out: the addresses that the Service's status says are its own. Gives back whether it has any now. An address
/// that two have is held by both, and the younger one moves; one that nobody here has given out is held if it is free.
pub fn adopt(service: &ServiceView, config: &Config, allocator: &mut Allocator) -> bool {
    if service.balanced && !service.served {
        observe(service, allocator);
        return false;
    }
    let mut recorded = service.recorded();
    recorded.dedup();
    let plausible =
        matches!(recorded.as_slice(), [_]) || matches!(recorded.as_slice(), [a, b] if Family::of(*a) != Family::of(*b));
    if !plausible {
        // Somebody put others beside ours: ours are those in pools, one of each family.
        let mut families = Vec::new();
        recorded.retain(|address| {
            let family = Family::of(*address);
            let first = config.pool_of(*address).is_some() && !families.contains(&family);
            families.extend(first.then_some(family));
            first
        });
    }
    if !service.served || recorded.is_empty() {
        return false;
    }
    if service.recorded_pool.is_some() {
        allocator.hold(&service.key, &service.tenant, &recorded);
        return true;
    }
    allocator.take(&service.key, &service.tenant, &recorded).is_ok()
}

/// Follows a status that says something else than what is held, as after an edit by hand, if the Service could have been given just that.
pub(super) fn follow_edit(facts: Facts<'_>, allocator: &mut Allocator) {
    let service = facts.service;
    let recorded = service.recorded();
    let leaving = allocator.leaving(&service.key);
    // A status that says what is being given up is not an edit: our own write has not come through yet.
    let known = recorded == allocator.held(&service.key) || recorded.iter().any(|address| leaving.contains(address));
    if recorded.is_empty() || known {
        return;
    }
    if matches!((Chooser { facts, allocator }).keep(&recorded), Keep::Yes(_)) {
        // One that somebody else has is not followed; the status is mended.
        let _ = allocator.take(&service.key, &service.tenant, &recorded);
    }
}
