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
mod parts;

use std::thread;

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use driver_loop::DriverLoop;
pub(crate) use parts::DriverParts;

/// The thread drops the sender of its outcome only if it panics.
const PANICKED: &str = "the driver panicked";

/// A running driver.
#[derive(Debug)]
pub(crate) struct Driver {
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
    pub(crate) fn start(parts: DriverParts) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot create the runtime of the driver")?;
        let (shutdown, shutdown_requested) = oneshot::channel();
        let (outcome_sender, outcome) = oneshot::channel();
        thread::spawn(move || {
            let result = runtime.block_on(async {
                DriverLoop::open(parts, shutdown_requested).await?.run().await;
                Ok(())
            });
            // The receiver is gone when the process is about to end.
            let _ = outcome_sender.send(result);
        });
        Ok(Self { shutdown, outcome })
    }

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
