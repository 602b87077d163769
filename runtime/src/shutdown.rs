//! Termination signals.

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

/// Waits for a request to terminate: SIGTERM from the kubelet, or SIGINT from a terminal.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub async fn requested() -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
