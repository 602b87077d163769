//! The speaker's decisions.
#![forbid(unsafe_code)]

pub mod cluster_snapshot;
mod context;
mod event;
pub mod lan;
pub mod liveness;
pub mod node;
pub mod output;
pub mod ownership;
pub mod settings;
mod speaker;
mod stats;
mod sync;
#[cfg(test)]
mod test_support;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod timers;
mod types;
pub mod wire;

pub use cluster_snapshot::{ClusterSnapshot, RecordedOwners};
pub use event::{Cause, Event};
pub use lan::FrameKind;
pub use node::Interface;
pub use output::{Output, OwnedAddress};
pub use settings::{DeputyMode, OwnershipMode, Settings};
pub use speaker::{DebugState, Speaker};
pub use stats::{AddressTraffic, MalformedFrames, Stats};
pub use types::{BootId, Epoch, InterfaceIndex, MacAddr, NodeName};
