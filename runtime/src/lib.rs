//! What the controller and the speaker share as processes.
//!
//! | Module | Purpose |
//! |---|---|
//! | [`admin`] | HTTP servers for probes, metrics and `/debug/state` |
//! | [`clock`] | the only place that reads a clock |
//! | [`flags`] | flags and environment variables that both programs have |
//! | [`k8s`] | the Kubernetes kit: client, watches, events, conditions, leader election |
//! | [`log`] | log level and log format |
//! | [`readiness`] | what a process waits for before it is ready |
//! | [`shutdown`] | termination signals |
//! | [`task`] | tasks that end with their owner |
#![forbid(unsafe_code)]

pub mod admin;
pub mod clock;
pub mod flags;
pub mod k8s;
pub mod log;
pub mod readiness;
pub mod shutdown;
pub mod task;
