//! What every part of the speaker may read, and what every part may write to.

use std::{sync::Arc, time::Instant};

use crate::{
    cluster_snapshot::ClusterSnapshot,
    output::Outbox,
    settings::Settings,
    stats::Stats,
    timers::{Timer, TimerTable},
    types::NodeName,
};

/// What every part may read. Only [`Speaker`](crate::Speaker) changes it.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The node of this speaker.
    pub(crate) me: NodeName,
    pub(crate) settings: Settings,
    /// The cluster, once the API server has reported it.
    pub(crate) snapshot: Option<Arc<ClusterSnapshot>>,
    /// Whether this speaker still listens, to learn what is owned before it claims anything.
    pub(crate) listening: bool,
    /// Set once the process is about to end.
    pub(crate) shutdown: Option<Shutdown>,
}

/// How this speaker shuts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shutdown {
    /// Others take the addresses over; otherwise deputies answer until this speaker is back.
    pub(crate) handover: bool,
}

/// What every part may write to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sinks {
    pub(crate) timers: TimerTable,
    pub(crate) outbox: Outbox,
    pub(crate) stats: Stats,
}

/// One call into the speaker, as its parts see it.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Instant,
    pub(crate) context: &'a Context,
    pub(crate) timers: &'a mut TimerTable,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) stats: &'a mut Stats,
}

impl<'a> Turn<'a> {
    pub(crate) const fn new(now: Instant, context: &'a Context, sinks: &'a mut Sinks) -> Self {
        Self {
            now,
            context,
            timers: &mut sinks.timers,
            outbox: &mut sinks.outbox,
            stats: &mut sinks.stats,
        }
    }

    /// Asks for a review of ownership in the next timeout, because something changed.
    pub(crate) fn request_review(&mut self) {
        self.timers.set_unless_armed(Timer::OwnershipReview, self.now);
    }
}
