//! Accounts for addresses that this plan did not choose.
//!
//! Some are found in a status at the start. Others belong to a Service that leaves this load
//! balancer, or to the Service of another load balancer.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::LoadBalancerIngress;
use lodestone_crds::{Config, Family};

use super::{
    choose::Chooser,
    keep::Keep,
    output::{DesiredStatus, Plan},
    text::join_addresses,
};
use crate::{
    alloc::{AddressHolder, Allocator, Assignment},
    notice::{EventReason, Notice},
    service_view::ServiceView,
};

/// The age of another load balancer's Service in the allocator. A Service of ours that has one of
/// its addresses counts as older.
const FOREIGN: Option<Timestamp> = Some(Timestamp::MAX);

/// Plans for a Service of another type or class.
pub(super) fn plan_not_ours(service: &ServiceView, allocator: &Allocator) -> Plan {
    let is_foreign = allocator.holder(&service.key).map(|holder| holder.since == FOREIGN);
    // A Service of type LoadBalancer that never had an address from us is another load balancer's.
    if is_foreign.unwrap_or(service.is_load_balancer) {
        return Plan {
            allocate: changed(service, allocator, foreign_assignment(service)),
            ..Plan::default()
        };
    }
    withdraw(service, allocator)
}

/// Another load balancer's addresses: no Service gets them from us.
fn foreign_assignment(service: &ServiceView) -> Assignment {
    Assignment {
        holder: AddressHolder {
            sharing_key: None,
            since: FOREIGN,
            ..service.holder.clone()
        },
        followed: None,
        // Its status is already written. An address that it no longer lists is free at once.
        addresses: if service.is_load_balancer {
            service.recorded()
        } else {
            Vec::new()
        },
    }
}

fn changed(service: &ServiceView, allocator: &Allocator, assignment: Assignment) -> Option<Assignment> {
    allocator.is_changed_by(&service.key, &assignment).then_some(assignment)
}

/// Takes back the addresses of a Service that no longer belongs to this load balancer.
fn withdraw(service: &ServiceView, allocator: &Allocator) -> Plan {
    let held = allocator.held(&service.key);
    let had = [allocator.releasing(&service.key), held].concat();
    let is_unmarked = service.recorded_pool.is_none() && service.ports_error.is_none();
    if had.is_empty() && (service.is_load_balancer || is_unmarked) {
        // It belongs to another load balancer, whose annotations may be like ours; or it never had
        // anything from us.
        return Plan::default();
    }
    let is_ours = |entry: &LoadBalancerIngress| {
        let address = entry.ip.as_deref().and_then(|ip| ip.parse().ok());
        !service.is_load_balancer || address.is_some_and(|address: IpAddr| had.contains(&address))
    };
    let mut ingress = service.ingress.clone();
    ingress.retain(|entry| !is_ours(entry));
    let is_changed = ingress != service.ingress || !is_unmarked;
    let text = format!(
        "released {}: the Service no longer belongs to this load balancer",
        join_addresses(held)
    );
    let event = Notice::new(EventReason::ClearAssignment, text);
    let assignment = Assignment {
        holder: service.holder.clone(),
        followed: None,
        addresses: Vec::new(),
    };
    Plan {
        allocate: changed(service, allocator, assignment),
        write: is_changed.then_some(DesiredStatus {
            ingress,
            ..DesiredStatus::default()
        }),
        events: if held.is_empty() { Vec::new() } else { vec![event] },
        ..Plan::default()
    }
}

/// The addresses in use by a Service, before the first new one is allocated; `None` when there are
/// none.
///
/// Two Services whose statuses list one address both hold it, and the younger one moves later. An
/// address that this controller did not allocate is adopted only if it is free.
#[must_use]
pub(crate) fn adopt(service: &ServiceView, config: &Config, allocator: &Allocator) -> Option<Assignment> {
    if !service.is_load_balancer {
        return None;
    }
    if !service.is_ours {
        return changed(service, allocator, foreign_assignment(service));
    }
    let addresses = plausible_addresses(service, config);
    let is_recorded = service.recorded_pool.is_some();
    let may_hold = || allocator.check_new(&service.holder, &service.key, &addresses, allocator.held(&service.key));
    if addresses.is_empty() || (!is_recorded && may_hold().is_err()) {
        return None;
    }
    Some(Assignment {
        holder: service.holder.clone(),
        followed: None,
        addresses,
    })
}

/// The addresses in the status that can be ours: one, or one of each family.
fn plausible_addresses(service: &ServiceView, config: &Config) -> Vec<IpAddr> {
    let mut recorded = service.recorded();
    recorded.dedup();
    let is_plausible = match recorded.as_slice() {
        [_] => true,
        [a, b] => Family::of(*a) != Family::of(*b),
        _ => false,
    };
    if !is_plausible {
        // Another writer added addresses. Ours are the first one of each family that is in a pool.
        let mut families = Vec::new();
        recorded.retain(|address| {
            let family = Family::of(*address);
            let is_first = config.pool_of(*address).is_some() && !families.contains(&family);
            families.extend(is_first.then_some(family));
            is_first
        });
    }
    recorded
}

impl Chooser<'_> {
    /// The addresses of an edited status, if the Service may have exactly these. `None` when the
    /// status was not edited, or must be restored.
    pub(super) fn follow_edit(&self) -> Option<Vec<IpAddr>> {
        let (service, allocator) = (self.input.service, self.allocator);
        let recorded = service.recorded();
        let held = allocator.held(&service.key);
        let releasing = allocator.releasing(&service.key);
        // A status that lists an address being released is not an edit: our own write is under way.
        let is_known = recorded == held || recorded.iter().any(|address| releasing.contains(address));
        if recorded.is_empty() || is_known || !matches!(self.keep(&recorded), Keep::Yes(_)) {
            return None;
        }
        // An address that another Service holds is not followed.
        let checked = allocator.check_new(&service.holder, &service.key, &recorded, held);
        checked.is_ok().then_some(recorded)
    }
}
