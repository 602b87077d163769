//! The controller on a real API server: every rule of allocation, promise P7, statuses, events, metrics and the webhook.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is tests only"
)]

#[path = "controller/mod.rs"]
mod controller;
