//! When something is due: one timer of the kernel. Those of the reactor are a wheel, which also wakes this thread to turn, twice for each that
//! is set.
#![expect(unsafe_code, reason = "it says that it owns its descriptor")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    time::{Duration, Instant},
};

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::{Interest, unix::AsyncFd};

use super::reactor::{OwnsDescriptor, register};

/// A timer that is set anew again and again.
#[derive(Debug)]
pub struct Timer {
    descriptor: AsyncFd<Descriptor>,
    set: Option<Instant>,
}

#[derive(Debug)]
struct Descriptor(TimerFd);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

// SAFETY: a TimerFd owns its descriptor and has no way to change it.
unsafe impl OwnsDescriptor for Descriptor {}

impl Timer {
    /// One that is not set.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn open() -> io::Result<Self> {
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        Ok(Self {
            descriptor: register(Descriptor(timer), Interest::READABLE)?,
            set: None,
        })
    }

    /// Sets it to a time, or to none.
    pub fn set(&mut self, now: Instant, due: Option<Instant>) {
        if self.set == due {
            return;
        }
        let timer = &self.descriptor.get_ref().0;
        let set = match due {
            // Nothing would switch it off.
            Some(due) => {
                let after = due.saturating_duration_since(now).max(Duration::from_nanos(1));
                timer.set(Expiration::OneShot(after.into()), TimerSetTimeFlags::empty())
            }
            None => timer.unset(),
        };
        match set {
            Ok(()) => self.set = due,
            Err(error) => tracing::error!(%error, "a timer could not be set"),
        }
    }

    /// Waits until it is due; for ever, if it is not set. This can be given up at any time without losing anything.
    pub async fn due(&mut self) {
        // It fails only when the process ends, with the reactor.
        let Ok(mut ready) = self.descriptor.readable().await else {
            return std::future::pending().await;
        };
        // Setting it anew is what takes the expiration back: it need not be read.
        ready.clear_ready();
        self.set = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use lodestone_runtime::clock::now;

    #[tokio::test]
    async fn it_is_due_at_its_time_each_time_and_never_when_it_is_not_set() {
        let mut timer = Timer::open().unwrap();
        for _ in 0..3 {
            let due = now() + Duration::from_millis(5);
            timer.set(now(), Some(due));
            timer.due().await;
            assert!(now() >= due);
            // It is due once.
            assert!(timer.due().now_or_never().is_none());
        }
        // A time that has gone is now; an earlier one comes in place of a later one.
        timer.set(now(), Some(now() + Duration::from_secs(3600)));
        timer.set(now(), Some(now() - Duration::from_secs(1)));
        timer.due().await;
        // One that is taken back does not come, though it was due already.
        timer.set(now(), Some(now() - Duration::from_secs(1)));
        timer.set(now(), None);
        tokio::task::yield_now().await;
        assert!(timer.due().now_or_never().is_none());
    }
}
