//! What is about to happen, and when.

use std::{net::IpAddr, sync::Arc, time::Instant};

use lodestone_speaker::{
    core::Facts,
    wire::message::{Datagram, NodeName},
};

#[derive(Clone, Debug)]
pub(super) enum Event {
    Turn(usize),
    Datagram(usize, IpAddr, Datagram),
    /// With the index of the interface.
    Frame(usize, u32, Vec<u8>),
    ToClient(Vec<u8>),
    Facts(usize, Arc<Facts>),
    Unreachable(usize, NodeName),
}

#[derive(Debug)]
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) order: u64,
    pub(super) event: Box<Event>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
