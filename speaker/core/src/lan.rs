//! The LAN.

pub mod conflict_detection;
pub mod gratuitous;
