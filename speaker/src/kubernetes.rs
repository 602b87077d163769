//! What the speaker reads from the Kubernetes API ([`watcher`]), and what it writes to it.

pub mod configuration_state;
pub mod events;
pub mod peer_key;
pub mod service_l2_status;
pub mod views;
pub mod watcher;
