//! The speaker: takes part in choosing one owner for each address, and announces on the LAN those that its node owns.
//!
//! ```text
//!   API server ──► cluster ──facts──► driver ◄──frames── net (ARP, NDP)
//!              ◄── status  ◄─owned──  (core) ◄─messages─ net (peers)
//! ```
//!
//! [`core`] and [`wire`] are pure: time, facts and frames go in, frames and messages come out. [`driver`] is one thread that owns the
//! core and everything urgent; what comes from Kubernetes is decoded elsewhere ([`cluster`]), so that a busy or absent API server
//! never delays an answer on the LAN.
#![deny(unsafe_code)]

pub mod cluster;
pub mod core;
pub mod driver;
pub mod metrics;
pub mod net;
pub mod wire;
