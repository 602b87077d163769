//! Codecs for everything that leaves or enters the node: ARP and NDP frames on the LAN, and the
//! sealed messages between speakers.
//!
//! Every parser takes arbitrary bytes. It returns an error or `None` for input that it does not
//! accept, and never panics.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

pub mod arp;
pub mod envelope;
pub mod key_ring;
pub mod message;
pub mod ndp;

/// The protocol of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameKind {
    /// ARP.
    Arp,
    /// Neighbor Discovery.
    Ndp,
}
