//! The speaker: takes part in choosing one owner for each address, and announces on the LAN those that its node owns.
//!
//! ```text
//!   API server ──► cluster ──facts──► driver ◄──frames── net (ARP, NDP)
//!              ◄── status  ◄─owned──  (core) ◄─messages─ net (peers)
//! ```
//!
//! The crate `lodestone-speaker-core` decides: time, facts and frames go in, frames and messages come out. [`driver`] is one thread that owns the
//! core and everything urgent; what comes from Kubernetes is decoded elsewhere ([`kubernetes`]), so that a busy or absent API server
//! never delays an answer on the LAN.
#![deny(unsafe_code)]

pub mod driver;
pub mod kubernetes;
pub mod metrics;
pub mod net;
