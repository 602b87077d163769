//! The driver: the one thread that owns everything urgent.
//!
//! It owns the core, the sockets and the timer. It carries inputs to the core and carries out what
//! the core returns. Nothing on this thread ever waits for Kubernetes.
//!
//! ```text
//!   timer ───────────────────────►┌────────────┐──► messages to peers
//!   frames, messages, interfaces ►│ DriverLoop │──► frames, group memberships
//!   snapshots, keys, queries ────►│   (core)   │──► owned addresses, problems, user events
//!   shutdown ────────────────────►└────────────┘
//! ```

mod driver_event;
mod driver_loop;
mod lan_sockets;

use std::thread;

use anyhow::{Context, Result};
use lodestone_runtime::admin::Query;
use lodestone_speaker_core::{InterfacePattern, NodeName, Settings};
use tokio::sync::{mpsc, oneshot};

use crate::channels::DriverChannels;
use driver_loop::DriverLoop;

/// The thread drops the sender of its outcome only if it panics.
const PANICKED: &str = "the driver panicked";

/// What the driver needs to start.
#[derive(Debug)]
pub(crate) struct Driver {
    /// The name of this node.
    pub(crate) node: NodeName,
    /// The UDP port of all speakers.
    pub(crate) port: u16,
    /// The settings of the core.
    pub(crate) settings: Settings,
    /// Interfaces on which nothing is ever announced.
    pub(crate) exclude: Vec<InterfacePattern>,
    /// The channels to the main thread.
    pub(crate) channels: DriverChannels,
    /// Requests for `/debug/state` and `/metrics`.
    pub(crate) queries: mpsc::Receiver<Query>,
}

/// A running driver.
#[derive(Debug)]
pub(crate) struct RunningDriver {
    shutdown: oneshot::Sender<()>,
    outcome: oneshot::Receiver<Result<()>>,
}

impl Driver {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the reactor of the thread cannot be created.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the second of the two threads that decide"
    )]
    pub(crate) fn start(self) -> Result<RunningDriver> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot create the runtime of the driver")?;
        let (shutdown, shutdown_requested) = oneshot::channel();
        let (outcome_sender, outcome) = oneshot::channel();
        thread::spawn(move || {
            let result = runtime.block_on(async {
                DriverLoop::open(self, shutdown_requested).await?.run().await;
                Ok(())
            });
            // The receiver is gone when the process is about to end.
            let _ = outcome_sender.send(result);
        });
        Ok(RunningDriver { shutdown, outcome })
    }
}

impl RunningDriver {
    /// Waits until the driver ends. Cancel safe.
    ///
    /// # Errors
    /// When the driver has failed.
    pub(crate) async fn finished(&mut self) -> Result<()> {
        (&mut self.outcome).await.context(PANICKED)?
    }

    /// Asks the driver to stop, and waits until other speakers cover its addresses.
    ///
    /// # Errors
    /// When the driver has failed.
    pub(crate) async fn shut_down(self) -> Result<()> {
        // The send fails if the driver has ended already. Then there is nothing to stop.
        let _ = self.shutdown.send(());
        self.outcome.await.context(PANICKED)?
    }
}
