//! Five workers with two networks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is tests only"
)]

/// How many workers there are.
const WORKERS: u8 = 5;

#[path = "two_networks/mod.rs"]
mod networks;
