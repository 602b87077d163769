//! Waiting for conditions. Tests wait for a condition, never for a fixed time.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// The pause between two checks of a condition.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until `condition` holds. `what` names the condition in the error.
///
/// # Errors
/// When the condition does not hold within `limit`. Limits are generous: exceeding one means that
/// something is broken, not that it is slow.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    wait_for(what, limit, || Ok(condition().then_some(())))
}

/// Waits until `attempt` returns a value, and returns that value. `what` names it in the error.
///
/// # Errors
/// When no attempt returns a value within `limit`. If the last attempt failed, the error contains
/// its cause.
pub fn wait_for<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = match attempt() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if start.elapsed() > limit {
            return match last {
                Some(error) => Err(error).with_context(|| format!("waited {limit:?} for {what}")),
                None => bail!("waited {limit:?} for {what}"),
            };
        }
        sleep(PAUSE);
    }
}
