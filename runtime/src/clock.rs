//! The only place that reads a clock. Code that decides takes the time as an argument.
#![expect(
    clippy::disallowed_methods,
    reason = "clippy.toml refers all other code to this module"
)]

use std::time::{Instant, SystemTime};

/// Reads the monotonic clock.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Reads the wall clock. Use it for timestamps that people read, never to measure durations.
#[must_use]
pub fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Reads the wall clock as nanoseconds since 1970. The value grows from one start of a process to
/// the next, unless somebody sets the clock back.
#[must_use]
pub fn wall_nanoseconds() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
