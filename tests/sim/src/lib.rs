//! Simulates speakers on a virtual LAN, in virtual time, with faults chosen by a seed. The run is a
//! function of the seed, so a failure can be replayed.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`world`] | nodes, the LAN, the node network, a client, and the packets between them |
//! | [`link_conditions`] | what a network does to packets: loss, latency, duplicates |
//! | [`scenario`] | a cluster and a sequence of faults, chosen by a seed |
//! | [`invariants`] | what must hold at all times, and the checks for it |
//!
//! [`play`] runs the scenario of one seed. The simulated part is the speaker's core: the real state
//! machine, with the simulator in place of sockets, clock and API server.
#![forbid(unsafe_code)]

pub mod invariants;
pub mod link_conditions;
pub mod scenario;
pub mod world;

pub use invariants::{Invariants, Violation};
pub use link_conditions::LinkConditions;
pub use scenario::{PlayOptions, Report, play};
pub use world::{ExtraInterface, World, WorldSpec};

#[cfg(test)]
mod tests;
