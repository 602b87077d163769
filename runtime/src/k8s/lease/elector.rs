//! The decisions of one process in a leader election.

use std::time::{Duration, Instant};

use super::Timing;

/// The state of a Lease at the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeaseState {
    /// The identity of the leader; empty if there is none.
    pub(super) holder: String,
    /// The identity of the candidate; empty if there is none.
    pub(super) candidate: String,
    /// The resource version, which changes with each write.
    pub(super) version: String,
    /// How long the Lease is valid after a write.
    pub(super) duration: Duration,
}

/// What the process must do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Create the Lease, with this process as the holder.
    Create,
    /// Write this process into the Lease as the holder, provided that the version is unchanged.
    Hold {
        /// Whether the candidate stays in the Lease.
        keep_candidate: bool,
    },
    /// Write this process into the Lease as the candidate, provided that the version is unchanged.
    Nominate,
    /// Read the Lease again after this time.
    Wait(Duration),
}

/// The leadership of this process at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The number of the term, counted by this process. Another process may have led between two
    /// terms, so knowledge from before a term may be outdated.
    pub term: u64,
    /// Until when this process is leader without another renewal.
    pub until: Instant,
}

/// Decides for one process whether it leads. Time is an argument, and there is no I/O.
#[derive(Clone, Debug)]
pub struct Elector {
    identity: String,
    timing: Timing,
    /// The last version that was read, and when it was read first.
    seen: Option<(String, Instant)>,
    /// The start of the last renewal, or of the last read that found no candidate. No other process
    /// can have taken the Lease before that moment.
    renewed: Option<Instant>,
    /// How many terms of this process have begun.
    term: u64,
    /// When the candidate was last cleared.
    candidate_cleared: Option<Instant>,
}

impl Elector {
    /// Creates the elector of the process `identity`. No other process may have the same identity.
    #[must_use]
    pub const fn new(identity: String, timing: Timing) -> Self {
        Self {
            identity,
            timing,
            seen: None,
            renewed: None,
            term: 0,
            candidate_cleared: None,
        }
    }

    /// Decides what to do about `lease`. The read of it started at `read_started`.
    pub(super) fn handle_lease(&mut self, read_started: Instant, now: Instant, lease: Option<&LeaseState>) -> Action {
        if lease.is_none_or(|lease| lease.holder != self.identity) {
            // Another process may have led since this one was the holder.
            self.renewed = None;
        }
        let Some(lease) = lease else { return Action::Create };
        if self.seen.as_ref().is_none_or(|(version, _)| *version != lease.version) {
            self.seen = Some((lease.version.clone(), now));
        }
        let acquire = Action::Hold { keep_candidate: false };
        if lease.holder.is_empty() {
            return acquire;
        }
        if lease.holder == self.identity {
            return self.lead(read_started, now, lease);
        }
        if lease.candidate.is_empty() {
            return Action::Nominate;
        }
        let expires = self.seen.as_ref().map_or(now, |(_, since)| *since) + lease.duration;
        if now >= expires {
            acquire
        } else {
            Action::Wait(self.timing.retry_period.min(expires - now))
        }
    }

    /// Decides what to do about a Lease that names this process as the holder.
    fn lead(&mut self, read_started: Instant, now: Instant, lease: &LeaseState) -> Action {
        let Some(renewed) = self.renewed else {
            // An earlier run of this process with the same identity left it.
            return Action::Hold { keep_candidate: true };
        };
        if lease.candidate.is_empty() {
            self.extend(read_started, now);
            return Action::Wait(self.timing.retry_period);
        }
        let due = renewed + self.timing.retry_period;
        if now < due {
            return Action::Wait(due - now);
        }
        let clear_candidate = self
            .candidate_cleared
            .is_none_or(|cleared| now >= cleared + self.timing.candidate_reset);
        if clear_candidate {
            self.candidate_cleared = Some(now);
        }
        Action::Hold {
            keep_candidate: !clear_candidate,
        }
    }

    /// Records that the write for [`Action::Create`] or [`Action::Hold`] succeeded.
    pub(super) fn handle_held(&mut self, write_started: Instant, now: Instant) {
        // Other processes may have seen the write at any time since it started.
        self.extend(write_started, now);
    }

    /// Extends the term if it has not run out, and begins one otherwise. No other process took the
    /// Lease before `since`.
    fn extend(&mut self, since: Instant, now: Instant) {
        if self.leadership().is_none_or(|it| it.until <= now) {
            self.term += 1;
        }
        self.renewed = self.renewed.max(Some(since));
    }

    /// The leadership of this process, which may have run out; `None` if it is not leader.
    pub(super) fn leadership(&self) -> Option<Leadership> {
        self.renewed.map(|renewed| Leadership {
            term: self.term,
            until: renewed + self.timing.renew_deadline,
        })
    }

    pub(super) const fn timing(&self) -> &Timing {
        &self.timing
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }
}

#[cfg(test)]
mod tests;
