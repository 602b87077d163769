//! What is to be done about one Service. Pure: the same Service, configuration and allocations always give the same plan.
//!
//! The rules that nothing else overrides (promise P7): a working address is given up only when its replacement has been secured; a
//! request that can't be met leaves the Service as it was, and says why; an address whose pool is gone or closed is kept.

mod adopt;
mod choose;
mod keep;

use std::net::IpAddr;

use clap::ValueEnum;
use k8s_openapi::api::core::v1::LoadBalancerIngress;
use lodestone_crds::{Config, Family, Labels};
use lodestone_daemon::events::Note;

use crate::{
    alloc::Allocator,
    service_view::{Request, ServiceView},
};
pub use adopt::adopt;
use adopt::{FOREIGN, follow_edit, observe, withdraw};
use choose::{Chooser, Pick, Refused};
use keep::Keep;

/// What becomes of an address whose pool is deleted, shrunk or closed to its Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnPoolChange {
    /// The Service keeps it until it goes; no other Service gets it.
    #[default]
    Retain,
    /// The Service gets another one, if there is one.
    Reassign,
}

/// What is to be done about one Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What its status is to say; `None` when it says so already.
    pub write: Option<Write>,
    /// What has happened, to be told once.
    pub notes: Vec<Note>,
    /// What does not work, to be told when it changes. The Service is looked at again when an address becomes free.
    pub problem: Option<Note>,
    /// The pool whose addresses the Service keeps although it would not be given them today.
    pub retained: Option<String>,
}

/// What the status of a Service is to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Write {
    /// `status.loadBalancer.ingress`.
    pub ingress: Vec<LoadBalancerIngress>,
    /// The annotation with the name of the pool.
    pub pool: Option<String>,
    /// What the condition `LoadBalancerPortsError` is to say; `None`: there is no such error.
    pub ports_error: Option<String>,
}

/// Why a Service does not get what it asks for.
struct Failure {
    note: Note,
    /// Whether it is that another Service has one of the ports.
    ports: bool,
}

/// Everything that a plan is made from, beside the allocations.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The Service.
    pub service: &'a ServiceView,
    /// The labels of its namespace.
    pub namespace_labels: &'a Labels,
    /// The pools.
    pub config: &'a Config,
    /// What becomes of addresses whose pool went away.
    pub on_pool_change: OnPoolChange,
}

/// Plans for one Service, and changes the allocations accordingly.
pub fn plan(facts: Facts<'_>, allocator: &mut Allocator) -> Plan {
    let service = facts.service;
    if !service.served {
        let foreign = allocator.tenant(&service.key).map(|tenant| tenant.since == FOREIGN);
        // Without any it is another load balancer's as long as it is balanced.
        if foreign.unwrap_or(service.balanced) {
            observe(service, allocator);
            return Plan::default();
        }
    }
    if !service.served {
        return withdraw(service, allocator);
    }
    if service.families.is_empty() {
        // The API server has not given it a cluster address yet.
        return Plan::default();
    }
    let mut plan = Plan::default();
    follow_edit(facts, allocator);
    let held = usable(service, allocator);
    let chooser = Chooser { facts, allocator };
    let keep = chooser.keep(&held);
    let mut ports_error = None;
    let pool = match decide(&chooser, &held, &keep) {
        Ok(pick) => {
            let pool = pick.pool.clone();
            commit(&mut plan, service, allocator, &held, &keep, pick);
            pool
        }
        Err(failure) if matches!(keep, Keep::Clash(_)) => {
            commit(&mut plan, service, allocator, &held, &keep, Pick::default());
            ports_error = failure.ports.then(|| failure.note.text.clone());
            plan.problem = Some(failure.note);
            None
        }
        Err(failure) => {
            ports_error = failure.ports.then(|| failure.note.text.clone());
            if held.is_empty() && service.request == Request::Any {
                // It was for a port that it has no address, and it has none yet.
                ports_error = ports_error.or_else(|| service.ports_error.clone());
            }
            plan.problem = Some(failure.note);
            // It keeps what it has, as what it is now: its ports or its key may be others than before.
            let all = allocator.held(&service.key).to_vec();
            allocator.hold(&service.key, &service.tenant, &all);
            keep.pool()
                .or_else(|| service.recorded_pool.clone())
                .filter(|_| !held.is_empty())
        }
    };
    if let Keep::Retained { pool, .. } = keep
        && allocator.held(&service.key) == held
    {
        plan.retained = pool;
    }
    plan.write = write(service, allocator, pool, ports_error);
    plan
}

/// The addresses that the Service holds; where it has given up one of its families, those of the other.
fn usable(service: &ServiceView, allocator: &Allocator) -> Vec<IpAddr> {
    let held = allocator.held(&service.key);
    let fitting: Vec<IpAddr> = held
        .iter()
        .copied()
        .filter(|address| service.families.contains(&Family::of(*address)))
        .collect();
    if fitting.is_empty() { held.to_vec() } else { fitting }
}

/// What the Service is to have, or why that can't be.
fn decide(chooser: &Chooser<'_>, held: &[IpAddr], keep: &Keep) -> Result<Pick, Failure> {
    let service = chooser.facts.service;
    let failed = |text: String| Note {
        warning: true,
        reason: "AllocationFailed",
        text: if held.is_empty() || matches!(keep, Keep::Clash(_)) {
            format!("Failed to allocate IP for {:?}: {text}", service.key.to_string())
        } else {
            format!("{text}; the Service keeps {}", list(held))
        },
    };
    let refused = |refused: Refused| {
        let (why, ports) = match keep {
            Keep::No(why) => (Some(why.clone()), false),
            Keep::Clash(taken) => (Some(taken.to_string()), taken.is_for_ports()),
            Keep::Nothing | Keep::Yes(_) | Keep::Retained { .. } => (None, refused.is_for_ports()),
        };
        let text = refused.to_string();
        // Of an address that is asked for and held it is the same twice.
        let text = why
            .filter(|why| *why != text)
            .map_or_else(|| text.clone(), |why| format!("{why}, and {text}"));
        Failure {
            note: failed(text),
            ports,
        }
    };
    let stay = |pool: &Option<String>| Pick {
        addresses: held.to_vec(),
        pool: pool.clone(),
        short: None,
    };
    let pool_fits = |pool: &Option<String>| {
        service
            .requested_pool
            .as_ref()
            .is_none_or(|requested| Some(requested) == pool.as_ref())
    };
    match (&service.request, keep) {
        (Request::Invalid(text), _) => {
            let reason = if held.is_empty() {
                "AllocationFailed"
            } else {
                "LoadBalancerFailed"
            };
            let note = Note {
                reason,
                ..failed(text.clone())
            };
            Err(Failure { note, ports: false })
        }
        (Request::Addresses(wanted), Keep::Yes(pool) | Keep::Retained { pool, .. })
            if same_set(held, wanted) && pool_fits(pool) =>
        {
            Ok(stay(pool))
        }
        (Request::Addresses(wanted), _) => chooser.requested(wanted).map_err(refused),
        (Request::Any, Keep::Yes(pool)) if pool_fits(pool) => Ok(chooser.topped_up(held, stay(pool))),
        (Request::Any, Keep::Retained { pool, .. }) if pool_fits(pool) => Ok(stay(pool)),
        (Request::Any, _) => chooser.any(held).map_err(refused),
    }
}

/// Gives the Service what was picked, and tells what that changed.
fn commit(plan: &mut Plan, service: &ServiceView, allocator: &mut Allocator, held: &[IpAddr], keep: &Keep, pick: Pick) {
    if let Err(taken) = allocator.take(&service.key, &service.tenant, &pick.addresses) {
        // Whatever was picked has been checked: this would be a defect, and leaves the Service as it was.
        plan.problem = Some(Note {
            warning: true,
            reason: "InternalError",
            text: taken.to_string(),
        });
        return;
    }
    let given_up: Vec<IpAddr> = held
        .iter()
        .copied()
        .filter(|address| !pick.addresses.contains(address))
        .collect();
    let why = match keep {
        Keep::No(why) => Some(why.clone()),
        Keep::Clash(taken) => Some(taken.to_string()),
        Keep::Nothing | Keep::Yes(_) | Keep::Retained { .. } => None,
    };
    if let Some(why) = why.filter(|_| !given_up.is_empty()) {
        let text = format!("{} is no longer assigned: {why}", list(&given_up));
        plan.notes.push(Note {
            warning: false,
            reason: "ClearAssignment",
            text,
        });
    }
    if pick.addresses.iter().any(|address| !held.contains(address)) {
        let text = format!(
            "Assigned IP {:?}",
            pick.addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
        );
        plan.notes.push(Note {
            warning: false,
            reason: "IPAllocated",
            text,
        });
        if service.deprecated_annotations {
            let text = "annotations that begin with metallb.universe.tf/ are deprecated: use metallb.io/".to_owned();
            plan.notes.push(Note {
                warning: true,
                reason: "deprecatedAnnotation",
                text,
            });
        }
    }
    plan.problem = match (keep, pick.short) {
        (_, Some(text)) => Some(Note {
            warning: false,
            reason: "AdditionalAssignFailed",
            text,
        }),
        (Keep::Retained { why, .. }, None) if pick.addresses == held => {
            let text = format!("{why}; the Service keeps {}, no other Service gets it", list(held));
            Some(Note {
                warning: true,
                reason: "AddressRetained",
                text,
            })
        }
        _ => None,
    };
}

/// The status that the Service is to have, unless it has it. What others put beside an address (ipMode, ports) stays.
fn write(
    service: &ServiceView,
    allocator: &Allocator,
    pool: Option<String>,
    ports_error: Option<String>,
) -> Option<Write> {
    let held = allocator.held(&service.key);
    let nothing = ports_error.is_none() && service.ports_error.is_none();
    if nothing && held.is_empty() && service.recorded_pool.is_none() && service.ingress.is_empty() {
        return None;
    }
    let entry = |address: &IpAddr| {
        let same = |entry: &&LoadBalancerIngress| entry.ip.as_deref().and_then(|ip| ip.parse().ok()) == Some(*address);
        let fresh = || LoadBalancerIngress {
            ip: Some(address.to_string()),
            ..LoadBalancerIngress::default()
        };
        service.ingress.iter().find(same).cloned().unwrap_or_else(fresh)
    };
    let ingress: Vec<_> = held.iter().map(entry).collect();
    let changed = ingress != service.ingress || pool != service.recorded_pool || ports_error != service.ports_error;
    changed.then_some(Write {
        ingress,
        pool,
        ports_error,
    })
}

fn same_set(a: &[IpAddr], b: &[IpAddr]) -> bool {
    a.len() == b.len() && a.iter().all(|address| b.contains(address))
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
