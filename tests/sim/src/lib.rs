//! Speakers on a virtual LAN, with virtual time and every fault that a network has, by seed: what happens is a function of the seed.
//!
//! | Module | What it is |
//! |---|---|
//! | [`world`] | nodes, the LAN, the network between the speakers, a client, and what goes over them |
//! | [`link_conditions`] | what the networks do to what they carry |
//! | [`invariants`] | what must never happen |
//! | [`scenario`] | a row of faults by seed |
#![forbid(unsafe_code)]

pub mod invariants;
pub mod link_conditions;
pub mod scenario;
pub mod world;

pub use invariants::{Judge, Verdict};
pub use link_conditions::Weather;
pub use scenario::{Story, play};
pub use world::{Plan, World};

#[cfg(test)]
mod tests;
