//! The speaker's decisions, without I/O.
//!
//! A speaker runs on each node of a Kubernetes cluster. All speakers together choose one owner for
//! each address of a Service, and the owner answers ARP and NDP for it on the LAN. This crate
//! decides; it reads no clock, opens no socket and starts no task. Its dependencies contain no
//! async runtime and no Kubernetes client, and its clippy.toml bans the usual ways to sockets,
//! files and clocks.
//!
//! ```text
//!   ClusterSnapshot   Interface, KernelSettings   frames      Datagram      time
//!         │                     │                   │            │           │
//!   handle_snapshot     handle_interfaces     handle_frame  handle_datagram  handle_timeout
//!         └─────────────────────┴─────────┬─────────┴────────────┴───────────┘
//!                                         ▼
//!    ┌───────────────────────────── Speaker ─────────────────────────────┐
//!    │  node ──► lan ──► liveness ──► ownership ──► sync                 │
//!    │           └─ beside it: a second way to announce, such as BGP     │
//!    └──────────────────────────────┬────────────────────────────────────┘
//!                                   ▼
//!          poll_output: messages, frames, ownership, events     next_timeout
//! ```
//!
//! | Module | What it decides |
//! |---|---|
//! | [`cluster_snapshot`] | nothing: what is known from Kubernetes |
//! | `node` | which interfaces can announce, and what is wrong with the node |
//! | `lan` | what to answer and announce on the LAN, and who else uses an address |
//! | `liveness` | which peers are alive |
//! | `ownership` | which node owns which address |
//! | `sync` | what speakers send each other so that all know the same |
//! | [`wire`] | nothing: frames and messages, encoded and decoded |
//!
//! # Contract
//! - A [`Speaker`] is driven by one thread. `handle_*` methods take the time and what arrived.
//!   The time must not go backwards.
//! - After each call, take everything from [`Speaker::poll_output`]. The order matters.
//! - [`Speaker::handle_frame`] returns its reply directly. Send it before you poll the outputs.
//! - Call [`Speaker::handle_timeout`] no later than [`Speaker::next_timeout`], which any call may
//!   change. A call that comes early, late or for nothing does no harm.
//! - To stop, call [`Speaker::begin_shutdown`] and go on driving the speaker. End when
//!   [`Speaker::may_stop`] is true, or after a limit of your own.
//! - The same inputs at the same times give the same outputs. The simulator in `tests/sim` relies
//!   on it.
//! - Inputs from outside may be hostile: any bytes in a frame or a message, in any order, at any
//!   rate.
//!
//! # Example
//! A speaker that is alone in its cluster listens for a second, and then owns the address:
//! ```
//! use std::{sync::Arc, time::{Duration, Instant}};
//! use lodestone_speaker_core::{Output, Settings, Speaker, testing};
//!
//! let mut now = Instant::now();
//! let mut speaker = Speaker::new(now, "node-a".into(), Settings::default());
//! speaker.handle_interfaces(now, vec![testing::ethernet(1, "eth0", &["192.0.2.250/24"])]);
//! speaker.handle_snapshot(now, Arc::new(testing::snapshot(&["node-a"], &["192.0.2.1"])));
//!
//! let mut announced = Vec::new();
//! let end = now + Duration::from_secs(2);
//! while let Some(due) = speaker.next_timeout().filter(|due| *due < end) {
//!     now = now.max(due);
//!     speaker.handle_timeout(now);
//!     while let Some(output) = speaker.poll_output() {
//!         if let Output::OwnedAddresses(owned) = output {
//!             announced = owned;
//!         }
//!     }
//! }
//! assert_eq!(announced[0].address.to_string(), "192.0.2.1");
//! ```
#![forbid(unsafe_code)]

mod borrow;
pub mod cluster_snapshot;
mod context;
mod event;
mod ineligibility;
mod lan;
mod liveness;
mod node;
mod node_problem;
mod output;
mod ownership;
mod settings;
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
pub use event::{Event, ForeignConflictResponse, OwnershipCause, PeerConflictResponse};
pub use ineligibility::IneligibilityReason;
pub use node::{
    Interface,
    interface_filter::{DEFAULT_PATTERNS, InterfacePattern, is_excluded},
    preflight::{InterfaceParameters, KernelSettings},
};
pub use node_problem::NodeProblem;
pub use output::{Output, OwnedAddress};
pub use settings::{ConflictDetectionMode, DeputyMode, OwnershipMode, Settings, UnknownMode};
pub use speaker::{AddressDebugState, ClaimDebugState, DebugState, PeerStatus, Speaker, SuspectState, TakenDebugState};
pub use stats::{AddressTraffic, MalformedFrames, Stats};
pub use types::{BootId, Epoch, InterfaceIndex, MacAddr, NodeName};
pub use wire::FrameKind;
