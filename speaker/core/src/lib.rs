//! The speaker's decisions. Deterministic: time, snapshots, frames and messages go in; frames, messages and ownership come out.
#![forbid(unsafe_code)]

pub mod cluster_snapshot;
pub mod lan;
pub mod liveness;
pub mod node;
pub mod output;
pub mod ownership;
pub mod settings;
pub mod speaker;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod wire;

pub(crate) mod core {
    pub(crate) use crate::{
        cluster_snapshot as facts,
        lan::{conflict_detection as probe, gratuitous as announce},
        liveness::{adaptive_timeout as link, peers, reachability as check, watch_ring as ring},
        node::{interface, interface_filter as exclude, preflight},
        ownership::{claims, eligibility, ranking as election},
        settings, speaker,
    };
}

pub use cluster_snapshot::{ClusterSnapshot, Recorded};
pub use node::interface::Interface;
pub use output::{Cause, Event, Output, OwnedAddress};
pub use settings::Settings;
pub use speaker::{FrameKind, Speaker};
