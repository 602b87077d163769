//! The only place that asks a clock. Everything that decides takes the time as an argument.
#![expect(clippy::disallowed_methods, reason = "this is the place that the others are sent to")]

use std::time::{Instant, SystemTime};

/// The monotonic clock.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock: for what humans read, never for measuring.
#[must_use]
pub fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Nanoseconds of the wall clock since 1970: grows from one start of a process to the next.
#[must_use]
pub fn wall_nanoseconds() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
