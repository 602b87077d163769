//! Three workers with two networks; and what is wrong with a node itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is tests only"
)]

/// How many workers there are.
const WORKERS: u8 = 3;

#[path = "two_networks/mod.rs"]
mod networks;
#[path = "two_networks/preflight.rs"]
mod preflight;
