//! The controller: gives addresses of IPAddressPools to Services of type LoadBalancer.
//!
//! ```text
//!  watches ──► gather ──► plan ──► apply ──► status of the Service
//!             (views)    (pure)   (patches)
//! ```
//!
//! [`alloc`], [`service`] and [`plan`] are pure: they know no client, no clock and no task. [`controller`] is the one task that owns
//! all state; [`apply`] writes what was planned.
#![forbid(unsafe_code)]

pub mod alloc;
pub mod apply;
pub mod controller;
pub mod core;
pub mod metrics;
pub mod peers_secret;
pub mod plan;
pub mod service;
pub mod status;
pub mod webhook;
