//! What a plan is made from, beside the allocations.

use lodestone_crds::{Config, Labels};

use crate::service_view::ServiceView;

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
pub(crate) struct PlanInput<'a> {
    /// The Service.
    pub(crate) service: &'a ServiceView,
    /// The labels of its namespace.
    pub(crate) namespace_labels: &'a Labels,
    /// The configuration in force.
    pub(crate) config: &'a Config,
    /// What happens to addresses whose pool no longer provides them.
    pub(crate) on_pool_change: OnPoolChange,
}
