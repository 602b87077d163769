//! Leader election among replicas by a Lease (coordination.k8s.io).
//!
//! [`Elector`] decides and does no I/O; [`run_election`] reads and writes the Lease for it.
//!
//! Clocks of different processes are never compared. A Lease has expired for a process that has
//! seen it unchanged for the Lease's duration by its own clock. This is the rule of client-go.
//!
//! Unlike client-go, a leader without a candidate does not renew the Lease; it only reads it:
//!
//! - A standby enters itself into the Lease as the *candidate*. Only a Lease with a candidate can
//!   expire.
//! - A leader that finds no candidate stays leader until [`Timing::renew_deadline`] after the start
//!   of that read. A later candidate waits longer than that.
//! - A leader that finds a candidate renews the Lease.
//!
//! A *term* ends when its deadline passes, or when the Lease no longer names this process. A leader
//! that acquires the Lease again begins a new term, also if no other process led in between.
//!
//! ```text
//!              no holder, or an earlier run of this process: write
//! ┌───────────┐ ────────────────────────────────────────────────► ┌────────┐
//! │  standby  │                                                   │ leader │─┐ no candidate: read
//! └───────────┘ ◄──────────────────────────────────────────────── └────────┘◄┘ candidate: renew
//!       │          deadline passed, or another process is holder      ▲
//!       │ another process is holder: write                            │
//!       ▼                                                             │
//! ┌───────────┐                                                       │
//! │ candidate │ ──────────────────────────────────────────────────────┘
//! └───────────┘  Lease unchanged for its duration: write
//! ```

mod client;
mod elector;

use std::time::Duration;

pub use client::{LeaseClient, run_election};
pub use elector::{Elector, Leadership};

/// The durations of an election. The names are client-go's where it has the same duration.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a candidate waits after the last change of the Lease before it takes over.
    pub lease_duration: Duration,
    /// How long a leader stays leader after its last renewal. It is shorter than `lease_duration`,
    /// so that the leader stops before another process starts.
    pub renew_deadline: Duration,
    /// The interval between reads or renewals of the Lease.
    pub retry_period: Duration,
    /// How often a leader clears the candidate, in case it has died. A live candidate enters itself
    /// again.
    pub candidate_reset: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            candidate_reset: Duration::from_secs(60),
        }
    }
}
