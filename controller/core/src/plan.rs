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
mod input;
mod keep;
mod outcome;
mod output;
mod text;
mod unmet_request;

pub(crate) use adopt::adopt;
use choose::Chooser;
use decide::Situation;
pub use input::OnPoolChange;
pub(crate) use input::PlanInput;
pub use output::DesiredStatus;
pub(crate) use output::Plan;

use crate::alloc::Allocator;

/// Plans for one Service.
#[must_use]
pub(crate) fn plan(input: PlanInput<'_>, allocator: &Allocator) -> Plan {
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

#[cfg(test)]
mod tests;
