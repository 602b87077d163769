//! Turns a decision about addresses into a plan: allocations, status and events.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::LoadBalancerIngress;

use super::{
    choose::Pick,
    decide::{Failure, Situation},
    keep::Keep,
    output::{DesiredStatus, Plan},
    text::join_addresses,
};
use crate::{
    alloc::Assignment,
    notice::{EventReason, Notice},
    service_view::{Request, ServiceView},
};

/// What a Service has after the plan.
#[derive(Default)]
pub(super) struct PlanOutcome {
    addresses: Vec<IpAddr>,
    pool: Option<String>,
    ports_error: Option<String>,
    events: Vec<Notice>,
    problem: Option<Notice>,
}

impl Situation<'_> {
    pub(super) fn outcome(&self) -> PlanOutcome {
        match self.decide() {
            Ok(pick) => self.after_pick(pick),
            Err(failure) if matches!(self.keep, Keep::Clash(_)) => self.after_clash(failure),
            Err(failure) => self.after_failure(failure),
        }
    }

    /// The Service gets what was picked.
    fn after_pick(&self, pick: Pick) -> PlanOutcome {
        let service = self.chooser.input.service;
        let allocator = self.chooser.allocator;
        if let Err(conflict) = allocator.check_new(&service.holder, &service.key, &pick.addresses, &self.all) {
            // Every pick was checked before, so this would be a defect. The Service stays as it
            // was.
            return PlanOutcome {
                addresses: self.all.clone(),
                pool: pick.pool,
                problem: Some(Notice::new(EventReason::InternalError, conflict.to_string())),
                ..PlanOutcome::default()
            };
        }
        PlanOutcome {
            events: self.events_of(&pick.addresses),
            problem: self.problem_of(&pick),
            addresses: pick.addresses,
            pool: pick.pool,
            ports_error: None,
        }
    }

    /// The Service loses its addresses at once: another one has them, and the two must not share.
    fn after_clash(&self, failure: Failure) -> PlanOutcome {
        PlanOutcome {
            ports_error: failure.is_for_ports.then(|| failure.notice.text.clone()),
            problem: Some(failure.notice),
            ..self.after_pick(Pick::default())
        }
    }

    /// The Service keeps its addresses, on its present terms: its ports or its key may have
    /// changed.
    fn after_failure(&self, failure: Failure) -> PlanOutcome {
        let service = self.chooser.input.service;
        let mut ports_error = failure.is_for_ports.then(|| failure.notice.text.clone());
        if self.held.is_empty() && service.request == Request::Any {
            // The error is about a port of an address that the Service lost, and it has none yet.
            ports_error = ports_error.or_else(|| service.ports_error.clone());
        }
        let pool = self.keep.pool().or_else(|| service.recorded_pool.clone());
        PlanOutcome {
            addresses: self.all.clone(),
            pool: pool.filter(|_| !self.held.is_empty()),
            ports_error,
            events: Vec::new(),
            problem: Some(failure.notice),
        }
    }

    /// The events that report the step from the held addresses to `addresses`.
    fn events_of(&self, addresses: &[IpAddr]) -> Vec<Notice> {
        let mut events = Vec::new();
        let mut lost = self.held.clone();
        lost.retain(|address| !addresses.contains(address));
        let why = match &self.keep {
            Keep::No(why) => Some(why.clone()),
            Keep::Clash(conflict) => Some(conflict.to_string()),
            Keep::Nothing | Keep::Yes(_) | Keep::Retained { .. } => None,
        };
        if let Some(why) = why.filter(|_| !lost.is_empty()) {
            let text = format!("{} is no longer assigned: {why}", join_addresses(&lost));
            events.push(Notice::new(EventReason::ClearAssignment, text));
        }
        if addresses.iter().any(|address| !self.held.contains(address)) {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            // MetalLB's text.
            let text = format!("Assigned IP {addresses:?}");
            events.push(Notice::new(EventReason::IpAllocated, text));
            if self.chooser.input.service.has_deprecated_annotations {
                let text = "annotations that begin with metallb.universe.tf/ are deprecated: use metallb.io/";
                events.push(Notice::new(EventReason::DeprecatedAnnotation, text.to_owned()));
            }
        }
        events
    }

    fn problem_of(&self, pick: &Pick) -> Option<Notice> {
        if let Some(text) = &pick.missing {
            return Some(Notice::new(EventReason::AdditionalAssignFailed, text.clone()));
        }
        match &self.keep {
            Keep::Retained { why, .. } if pick.addresses == self.held => {
                let held = join_addresses(&self.held);
                let text = format!("{why}; the Service keeps {held}, and no other Service gets it");
                Some(Notice::new(EventReason::AddressRetained, text))
            }
            _ => None,
        }
    }
}

impl PlanOutcome {
    pub(super) fn into_plan(self, situation: &Situation<'_>) -> Plan {
        let (service, allocator) = (situation.chooser.input.service, situation.chooser.allocator);
        let retained = match &situation.keep {
            Keep::Retained { pool, .. } if self.addresses == situation.held => pool.clone(),
            _ => None,
        };
        let write = self.status(service);
        let assignment = Assignment {
            holder: service.holder.clone(),
            followed: situation.followed.clone(),
            addresses: self.addresses,
        };
        Plan {
            allocate: allocator.is_changed_by(&service.key, &assignment).then_some(assignment),
            write,
            events: self.events,
            problem: self.problem,
            retained,
        }
    }

    /// The status that the Service needs, unless it has that. What others put beside an address
    /// (ipMode, ports) stays.
    fn status(&self, service: &ServiceView) -> Option<DesiredStatus> {
        let entry = |address: &IpAddr| {
            let same =
                |entry: &&LoadBalancerIngress| entry.ip.as_deref().and_then(|ip| ip.parse().ok()) == Some(*address);
            let fresh = || LoadBalancerIngress {
                ip: Some(address.to_string()),
                ..LoadBalancerIngress::default()
            };
            service.ingress.iter().find(same).cloned().unwrap_or_else(fresh)
        };
        let status = DesiredStatus {
            ingress: self.addresses.iter().map(entry).collect(),
            pool: self.pool.clone(),
            ports_error: self.ports_error.clone(),
        };
        let is_changed = status.ingress != service.ingress
            || status.pool != service.recorded_pool
            || service.has_deprecated_record
            || status.ports_error != service.ports_error;
        is_changed.then_some(status)
    }
}
