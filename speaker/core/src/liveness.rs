//! Liveness.

pub mod adaptive_timeout;
pub mod peers;
pub mod reachability;
pub mod watch_ring;
