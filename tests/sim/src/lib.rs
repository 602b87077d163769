//! Speakers on a virtual LAN, with virtual time and every fault that a network has, by seed: what happens is a function of the seed.
//!
//! | Module | What it is |
//! |---|---|
//! | [`world`] | nodes, the LAN, the network between the speakers, a client, and what goes over them |
//! | [`net`] | what the networks do to what they carry |
//! | [`judge`] | what must never happen |
//! | [`story`] | a row of faults by seed |
#![forbid(unsafe_code)]

pub mod judge;
pub mod net;
pub mod story;
pub mod world;

pub use judge::{Judge, Verdict};
pub use net::Weather;
pub use story::{Story, play};
pub use world::{Plan, World};

#[cfg(test)]
mod tests;
