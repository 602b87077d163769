//! What a plan consists of.

use k8s_openapi::api::core::v1::LoadBalancerIngress;

use crate::{alloc::Assignment, notice::Notice};

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
    /// The annotation with the name of the pool. The write also removes the one under the
    /// deprecated prefix.
    pub pool: Option<String>,
    /// The message of the condition `LoadBalancerPortsError`; `None` when there is no such error.
    pub ports_error: Option<String>,
}
