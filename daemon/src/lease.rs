//! Which of several replicas works: the one that holds a Lease (coordination.k8s.io).
//!
//! [`Elector`] decides and is pure. No two clocks are ever compared: another's Lease has run out when this process has seen it unchanged
//! for as long as it says that it lasts, by this process's own clock (the rule of client-go).

mod shell;

use std::time::{Duration, Instant};

pub use shell::{LeaseClient, hold};

/// How a Lease is held.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long others wait after the last sign of life of a holder.
    pub duration: Duration,
    /// How long a holder works on without being able to renew. Shorter than `duration`: it stops before another begins.
    pub deadline: Duration,
    /// How often it is renewed, or looked at.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// A Lease as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// Its version: changes with each renewal.
    pub version: String,
    /// How long it lasts after a renewal.
    pub duration: Duration,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// There is no Lease: make it, and hold it.
    Create,
    /// Write into it that this process holds it, if it is still the version that was seen.
    Take,
    /// Look again after this time.
    Wait(Duration),
}

/// Decides for one process.
#[derive(Clone, Debug)]
pub struct Elector {
    me: String,
    timing: Timing,
    /// The version that was last seen, and when it was first seen.
    seen: Option<(String, Instant)>,
    renewed: Option<Instant>,
}

impl Elector {
    /// For the process that calls itself `me`, which no other one does.
    #[must_use]
    pub const fn new(me: String, timing: Timing) -> Self {
        Self {
            me,
            timing,
            seen: None,
            renewed: None,
        }
    }

    /// What to do, now that the Lease is this.
    pub fn step(&mut self, now: Instant, lease: Option<&View>) -> Action {
        let Some(lease) = lease else { return Action::Create };
        if self.seen.as_ref().is_none_or(|(version, _)| *version != lease.version) {
            self.seen = Some((lease.version.clone(), now));
        }
        if lease.holder.is_empty() {
            return Action::Take;
        }
        if lease.holder == self.me {
            // Also one that an earlier start of this process has left under the same name.
            let due = self.renewed.map_or(now, |renewed| renewed + self.timing.retry);
            return if now >= due {
                Action::Take
            } else {
                Action::Wait(due - now)
            };
        }
        self.renewed = None;
        let runs_out = self.seen.as_ref().map_or(now, |(_, since)| *since) + lease.duration;
        if now >= runs_out {
            Action::Take
        } else {
            Action::Wait(self.timing.retry.min(runs_out - now))
        }
    }

    /// The write that [`Self::step`] asked for, begun at `started`, has succeeded.
    pub fn won(&mut self, started: Instant) {
        // Others may have seen it as soon as it was begun.
        self.renewed = Some(started);
    }

    /// Another one has it now.
    pub fn lost(&mut self) {
        self.renewed = None;
    }

    /// Whether this process may work.
    #[must_use]
    pub fn leads(&self, now: Instant) -> bool {
        self.renewed.is_some_and(|renewed| now < renewed + self.timing.deadline)
    }

    /// Until when it may work without another renewal.
    #[must_use]
    pub fn leads_until(&self) -> Option<Instant> {
        self.renewed.map(|renewed| renewed + self.timing.deadline)
    }

    /// How it is held.
    #[must_use]
    pub const fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Who this is.
    #[must_use]
    pub fn me(&self) -> &str {
        &self.me
    }
}

#[cfg(test)]
mod tests;
