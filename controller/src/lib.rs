//! The controller of Lodestone: allocates addresses of IPAddressPools to Services of type
//! LoadBalancer, and writes them into the Services' statuses.
//!
//! ```text
//!                Kubernetes API
//!   watches │        ▲ status patches, events
//!           ▼        │
//!      ┌─ event_loop ┴──────────┐     webhook (HTTPS)
//!      │  Reconciler            │◄─── edits to review
//!      │   └ plan ─ alloc       │
//!      └────────────────────────┘
//!       lodestone-controller-core: deterministic
//! ```
//!
//! This crate is the shell: it watches, writes, serves and measures. Every decision is made in
//! `lodestone-controller-core`. [`EventLoop`] is the only task that touches the state.
#![forbid(unsafe_code)]

mod debug_state;
mod event_loop;
mod metrics;
pub mod peer_key;
mod status;
mod webhook;

pub use event_loop::{Connections, EventLoop, OwnerLookup};
pub use webhook::{ReviewRequest, Webhook};
