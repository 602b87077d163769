//! Decides what happens to one Service. Pure: a plan reads the allocations and changes nothing, and
//! the same Service, configuration and allocations always give the same plan.
//!
//! Three rules override all others (promise P7):
//! - a working address is given up only when its replacement has been secured;
//! - a request that cannot be met leaves the Service as it was, and an event says why;
//! - a Service keeps an address whose pool was deleted or closed to it.

mod adopt;
mod choose;
mod decide;
mod keep;
mod outcome;
mod unmet_request;

use std::net::IpAddr;

use k8s_openapi::api::core::v1::LoadBalancerIngress;
use lodestone_crds::{Config, Family, Labels};

use crate::{
    alloc::{Allocator, Assignment},
    notice::Notice,
    service_view::ServiceView,
};
pub(crate) use adopt::adopt;
use choose::Chooser;
use decide::Situation;

/// What happens to an address whose pool is deleted, shrunk or closed to its Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnPoolChange {
    /// The Service keeps it, and no other Service gets it.
    #[default]
    Retain,
    /// The Service gets a different address, if one is available.
    Reassign,
}

/// Everything that a plan is made from, beside the allocations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    /// The Service.
    pub(crate) service: &'a ServiceView,
    /// The labels of its namespace.
    pub(crate) namespace_labels: &'a Labels,
    /// The configuration in force.
    pub(crate) config: &'a Config,
    /// What happens to addresses whose pool no longer provides them.
    pub(crate) on_pool_change: OnPoolChange,
}

/// What happens to one Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// The addresses that it holds from now on; `None` when that does not change. Addresses that it
    /// held before and that are not among them are free once the status is written.
    pub(crate) allocate: Option<Assignment>,
    /// The status to write; `None` when it is up to date.
    pub(crate) write: Option<DesiredStatus>,
    /// Events to send once the status is written.
    pub(crate) events: Vec<Notice>,
    /// What does not work, as an event to send when it changes. The Service is planned again when
    /// any address is released.
    pub(crate) problem: Option<Notice>,
    /// The pool whose addresses the Service retains although it would not get them today.
    pub(crate) retained: Option<String>,
}

/// What the status of a Service must contain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DesiredStatus {
    /// `status.loadBalancer.ingress`.
    pub ingress: Vec<LoadBalancerIngress>,
    /// The annotation with the name of the pool.
    pub pool: Option<String>,
    /// The message of the condition `LoadBalancerPortsError`; `None` when there is no such error.
    pub ports_error: Option<String>,
}

/// Plans for one Service.
#[must_use]
pub(crate) fn plan(input: Input<'_>, allocator: &Allocator) -> Plan {
    let service = input.service;
    if !service.is_ours {
        return adopt::plan_not_ours(service, allocator);
    }
    if service.families.is_empty() {
        // The API server has not assigned it a cluster address yet.
        return Plan::default();
    }
    let situation = Situation::of(Chooser::new(input, allocator));
    situation.outcome().into_plan(&situation)
}

fn same_set(a: &[IpAddr], b: &[IpAddr]) -> bool {
    a.len() == b.len() && a.iter().all(|address| b.contains(address))
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn list_families(families: &[Family]) -> String {
    families
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" and ")
}

#[cfg(test)]
mod tests;
