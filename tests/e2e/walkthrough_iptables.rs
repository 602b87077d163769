//! The walk-through, with kube-proxy in iptables mode.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is tests only"
)]

use lodestone_tests::ProxyMode;

const MODE: ProxyMode = ProxyMode::Iptables;

mod walkthrough;
