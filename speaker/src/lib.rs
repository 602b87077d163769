//! The speaker: one runs on each node. Together they choose one owner for each address, and each
//! speaker announces the addresses of its node on the LAN.
//!
//! ```text
//!                   main thread            │            driver thread
//!                                          │
//!   API server ──► kubernetes::watcher ────┼─snapshots──► driver ◄──frames───► net (ARP, NDP)
//!              ──► kubernetes::peer_key ───┼─keys───────►   │    ◄──messages─► net (peers)
//!                                          │              core
//!              ◄── service_l2_status ◄─────┼─owned addresses┤
//!              ◄── configuration_state ◄───┼─problems───────┤
//!              ◄── events ◄────────────────┼─user events────┘
//! ```
//!
//! The crate `lodestone-speaker-core` decides. It takes the time, snapshots, messages and frames,
//! and returns messages, frames and ownership. This crate is the shell around it. The [`driver`] is
//! one thread that owns the core and everything urgent. The main thread decodes what comes from
//! Kubernetes and writes statuses. So a slow or absent API server never delays an answer on the
//! LAN.
//!
//! | Module | Purpose |
//! |---|---|
//! | [`channels`] | the channels between the two threads |
//! | [`driver`] | the thread that owns the core, the sockets and the timer |
//! | [`flags`] | the command line |
//! | [`kubernetes`] | what the speaker reads from the Kubernetes API, and what it writes to it |
//! | [`metrics`] | the text of `/metrics` |
//! | [`net`] | sockets; all `unsafe` code is there |
//! | [`process`] | starts all parts and stops them |
#![deny(unsafe_code)]
#![allow(
    rustdoc::private_intra_doc_links,
    reason = "this page is read with --document-private-items"
)]

mod channels;
mod driver;
mod flags;
pub mod kubernetes;
mod metrics;
pub mod net;
mod process;

pub use flags::SpeakerArgs;
pub use process::run;
