//! One timerfd for all deadlines of the driver.
//!
//! Tokio's timer wheel would cause two extra wake-ups per armed timer.
#![expect(unsafe_code, reason = "OwnsDescriptor is an unsafe trait")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    time::{Duration, Instant},
};

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::{Interest, unix::AsyncFd};

use super::reactor::{OwnsDescriptor, register};

/// A timer with one deadline, which can be changed at any time.
#[derive(Debug)]
pub(crate) struct DeadlineTimer {
    descriptor: AsyncFd<Descriptor>,
    /// The deadline that the kernel has; `None` if the timer is off or has expired.
    armed: Option<Instant>,
}

#[derive(Debug)]
struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

// SAFETY: a TimerFd owns its descriptor and has no method that replaces it.
unsafe impl OwnsDescriptor for Descriptor {}

impl DeadlineTimer {
    /// Creates a timer that is off.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub(crate) fn open() -> io::Result<Self> {
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        Ok(Self {
            descriptor: register(Descriptor(timer), Interest::READABLE)?,
            armed: None,
        })
    }

    /// Sets the deadline; `None` turns the timer off. A deadline in the past is due at once.
    pub(crate) fn set(&mut self, now: Instant, deadline: Option<Instant>) {
        if self.armed == deadline {
            return;
        }
        let timer = &self.descriptor.get_ref().0;
        let result = match deadline {
            // At least a nanosecond, because zero turns a timerfd off.
            Some(due) => {
                let after = due.saturating_duration_since(now).max(Duration::from_nanos(1));
                timer.set(Expiration::OneShot(after.into()), TimerSetTimeFlags::empty())
            }
            None => timer.unset(),
        };
        match result {
            Ok(()) => self.armed = deadline,
            Err(error) => tracing::error!(%error, "cannot set the timer"),
        }
    }

    /// Waits until the deadline; forever if the timer is off. Cancel safe: the state is in the
    /// kernel, and it is cleared only when this returns.
    pub(crate) async fn due(&mut self) {
        // This fails only without a reactor, which is when the process ends.
        let Ok(mut ready) = self.descriptor.readable().await else {
            return std::future::pending().await;
        };
        // The expiration need not be read: the next call of `set` clears it.
        ready.clear_ready();
        self.armed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use lodestone_runtime::clock::now;

    #[tokio::test]
    async fn timer_is_due_once_at_each_deadline_and_never_while_off() {
        let mut timer = DeadlineTimer::open().unwrap();
        for _ in 0..3 {
            let due = now() + Duration::from_millis(5);
            timer.set(now(), Some(due));
            timer.due().await;
            assert!(now() >= due);
            assert!(timer.due().now_or_never().is_none(), "due once only");
        }
        // A deadline in the past is due at once. An earlier deadline replaces a later one.
        timer.set(now(), Some(now() + Duration::from_secs(3600)));
        timer.set(now(), Some(now() - Duration::from_secs(1)));
        timer.due().await;
        // A deadline that is removed does not come, although it was due already.
        timer.set(now(), Some(now() - Duration::from_secs(1)));
        timer.set(now(), None);
        tokio::task::yield_now().await;
        assert!(timer.due().now_or_never().is_none());
    }
}
