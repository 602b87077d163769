//! End-to-end tests: Lodestone in a whole Kubernetes cluster, judged by what clients, the API and
//! other hosts see.
//!
//! Each module below except [`support`] is a suite. The tests of a suite share one cluster, run one
//! after another, and leave the cluster as they found it. `tests/run.sh` runs every suite in a
//! process of its own, several at a time.
//!
//! To add a test, write a `#[test]` function in the suite whose cluster it needs. To add a suite,
//! write its file and its `mod` line here. `tests/run.sh` finds both without further changes.
//!
//! Most tests of [`walkthrough`] and [`two_networks`] run on more than one kind of cluster. Such a
//! test is a plain function that takes the cluster, without `#[test]`. A macro in its suite lists
//! it once for all clusters (see [`support::cluster_tests`]). A function that the list misses is
//! dead code, and does not compile.
#![deny(dead_code, reason = "a test that `cluster_tests` does not list would never run")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate contains only tests"
)]

mod api_server;
mod change_over;
mod controller;
mod frames;
mod interfaces;
mod layouts;
mod peers;
mod sandbox;
mod segments;
mod support;
mod test_cluster;
mod two_networks;
mod two_networks_five_workers;
mod walkthrough;
mod walkthrough_iptables;
