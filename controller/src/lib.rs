//! The controller: gives addresses of IPAddressPools to Services of type LoadBalancer.
//!
//! ```text
//!  watches ──► gather ──► plan ──► apply ──► status of the Service
//!             (views)    (pure)   (patches)
//! ```
//!
//! [`alloc`], [`service_view`] and [`plan`] are pure: they know no client, no clock and no task. [`event_loop`] is the one task that owns
//! all state; [`status`] writes what was planned.
#![forbid(unsafe_code)]

pub mod admission;
pub mod alloc;
pub mod event_loop;
pub mod metrics;
pub mod peer_key;
pub mod plan;
pub mod reconciler;
pub mod service_view;
pub mod status;
pub mod webhook;
