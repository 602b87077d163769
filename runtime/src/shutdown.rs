//! The end of a process.

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

/// Waits until the process is told to end: SIGTERM from the kubelet, SIGINT from a keyboard.
///
/// # Errors
/// When the signals can't be asked for.
pub async fn requested() -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
