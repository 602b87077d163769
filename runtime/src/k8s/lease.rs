//! Which of several replicas works: the one that holds a Lease (coordination.k8s.io).
//!
//! [`Elector`] decides and is pure. No two clocks are ever compared: another's Lease has run out when this process has seen it unchanged
//! for as long as it says that it lasts, by this process's own clock (the rule of client-go).
//!
//! Unlike client-go's, a holder that nobody contends with writes nothing: it reads. Whoever wants the Lease puts its name into it as the
//! contender, and only a Lease that bears a contender can run out. A holder that reads that there is none may work on for
//! [`Timing::deadline`] after the moment at which it asked: a contender comes after that moment, and waits longer. A holder that reads
//! that there is one renews.

mod client;

use std::time::{Duration, Instant};

pub use client::{LeaseClient, run_election};

/// How a Lease is held.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long others wait after the last sign of life of a holder.
    pub duration: Duration,
    /// How long a holder works on without being able to renew. Shorter than `duration`: it stops before another begins.
    pub deadline: Duration,
    /// How often it is renewed, or looked at.
    pub retry: Duration,
    /// How often a holder takes the contender out of the Lease: one that lives puts its name in again.
    pub sweep: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
            sweep: Duration::from_secs(60),
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
    /// Who wants it; empty: nobody.
    pub contender: String,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// There is no Lease: make it, and hold it.
    Create,
    /// Write into it that this process holds it, if it is still the version that was seen.
    Take {
        /// Whether the contender stays in it.
        keep_contender: bool,
    },
    /// Write into it that this process wants it, if it is still the version that was seen.
    Contend,
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
    /// Since when the holder can't have lost it: the start of its last renewal, or of the last look that found no contender.
    renewed: Option<Instant>,
    swept: Option<Instant>,
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
            swept: None,
        }
    }

    /// What to do, now that the Lease is this; it was asked for at `asked`.
    pub fn step(&mut self, asked: Instant, now: Instant, lease: Option<&View>) -> Action {
        let Some(lease) = lease else { return Action::Create };
        if self.seen.as_ref().is_none_or(|(version, _)| *version != lease.version) {
            self.seen = Some((lease.version.clone(), now));
        }
        let take = Action::Take { keep_contender: false };
        if lease.holder.is_empty() {
            return take;
        }
        if lease.holder == self.me {
            return self.hold(asked, now, lease);
        }
        self.renewed = None;
        if lease.contender.is_empty() {
            return Action::Contend;
        }
        let runs_out = self.seen.as_ref().map_or(now, |(_, since)| *since) + lease.duration;
        if now >= runs_out {
            take
        } else {
            Action::Wait(self.timing.retry.min(runs_out - now))
        }
    }

    fn hold(&mut self, asked: Instant, now: Instant, lease: &View) -> Action {
        let Some(renewed) = self.renewed else {
            // An earlier start of this process has left it under the same name.
            return Action::Take { keep_contender: true };
        };
        if lease.contender.is_empty() {
            self.renewed = Some(renewed.max(asked));
            return Action::Wait(self.timing.retry);
        }
        let due = renewed + self.timing.retry;
        if now < due {
            return Action::Wait(due - now);
        }
        let sweep = self.swept.is_none_or(|swept| now >= swept + self.timing.sweep);
        if sweep {
            self.swept = Some(now);
        }
        Action::Take { keep_contender: !sweep }
    }

    /// The write that [`Self::step`] asked for, begun at `started`, has succeeded.
    pub fn won(&mut self, started: Instant) {
        // Others may have seen it as soon as it was begun.
        self.renewed = Some(started);
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
