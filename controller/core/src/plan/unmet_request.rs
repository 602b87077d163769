//! Why a Service cannot get the addresses that it asks for.

use std::net::IpAddr;

use crate::alloc::AllocationConflict;

/// A request that cannot be met, and what stands in its way. The text goes into an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnmetRequest {
    #[error("{0} is in no IPAddressPool")]
    NotInPools(IpAddr),
    #[error("{0} are in different IPAddressPools; both addresses of a Service must be from one")]
    TwoPools(String),
    #[error("IPAddressPool {0} does not serve this Service (its serviceAllocation)")]
    Closed(String),
    #[error("{address} is in IPAddressPool {pool}, and the Service asks for pool {requested}")]
    OtherPool {
        address: IpAddr,
        pool: String,
        requested: String,
    },
    #[error("there is no IPAddressPool {0}")]
    UnknownPool(String),
    #[error("the Service asks for {asked} and its cluster addresses are {has}")]
    Families { asked: String, has: String },
    #[error(transparent)]
    Conflict(#[from] AllocationConflict),
    // MetalLB's text.
    #[error("no available IPs: {0}")]
    Exhausted(String),
    #[error("the Service requires two address families and has one cluster address")]
    OneClusterAddress,
}

impl UnmetRequest {
    /// Whether the reason is that another Service has one of the ports.
    pub(super) const fn is_for_ports(&self) -> bool {
        matches!(self, Self::Conflict(conflict) if conflict.is_for_ports())
    }
}
