//! What the controller and the speaker share as processes.
//!
//! | Module | What it is for |
//! |---|---|
//! | [`admin`] | the HTTP server for probes and questions: `/healthz`, `/readyz`, `/debug/state` |
//! | [`client`] | the connection to the API server |
//! | [`clock`] | the only place that asks a clock |
//! | [`condition`] | conditions of objects, changed only when something changed |
//! | [`configuration_state`] | the object in which a component says what is wrong |
//! | [`events`] | Kubernetes events, sent in the background |
//! | [`flags`] | command line and environment, the same for both |
//! | [`guarded`] | objects that may be bad without harm to others |
//! | [`lease`] | which of several replicas works |
//! | [`node`] | Nodes without what nobody looks at |
//! | [`readiness`] | what a process waits for before it is ready |
//! | [`service`] | Services without what nobody looks at |
//! | [`task`] | tasks that end with their owner |
//! | [`watch`] | watches in which one bad object harms nothing else |
#![forbid(unsafe_code)]

pub mod admin;
pub mod client;
pub mod clock;
pub mod condition;
pub mod configuration_state;
pub mod events;
pub mod flags;
pub mod guarded;
mod lean;
pub mod lease;
pub mod log;
pub mod node;
pub mod readiness;
pub mod service;
pub mod shutdown;
pub mod task;
pub mod watch;

pub use lodestone_crds::ObjectKey;
