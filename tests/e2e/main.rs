//! End-to-end tests: Lodestone in a whole Kubernetes, judged from outside.
//!
//! Each module below except [`support`] is a suite. The tests of a suite share one cluster, run one
//! after another, and leave the cluster as they found it. `tests/run.sh` runs every suite in a
//! process of its own, several at a time.
//!
//! To add a test, write a `#[test]` function in the suite whose cluster it needs. To add a suite,
//! write its file and its `mod` line here. Nothing else lists tests or suites.
//!
//! The tests of [`walkthrough`] and [`two_networks`] run on more than one kind of cluster. Each of
//! these two modules lists its tests in a macro, once for all clusters (see
//! [`support::cluster_tests`]).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate contains only tests"
)]

mod api_server;
mod controller;
mod interfaces;
mod peers;
mod sandbox;
mod support;
mod test_cluster;
mod two_networks;
mod two_networks_five_workers;
mod walkthrough;
mod walkthrough_iptables;
