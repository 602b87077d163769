//! Waiting for conditions. Tests never wait for time.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `condition` holds.
///
/// # Errors
/// When it does not hold within `limit`, which says that something is broken: limits are generous and no measure of speed.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    wait_for(what, limit, || Ok(condition().then_some(())))
}

/// Looks until `attempt` gives a value.
///
/// # Errors
/// When it gives none within `limit`; the last error of an attempt is told.
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
                Some(error) => Err(error).with_context(|| format!("waited {limit:?} for: {what}")),
                None => bail!("waited {limit:?} for: {what}"),
            };
        }
        sleep(PAUSE);
    }
}
