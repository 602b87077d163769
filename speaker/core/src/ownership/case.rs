//! One address under review, and what comes out of the review.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::eligibility::Verdicts;
use crate::{
    cluster_snapshot::ClusterSnapshot,
    event::Cause,
    lan::{Announcement, DeputyDuty},
    liveness::View,
    types::NodeName,
};

/// How long each candidate waits for the one before it. A candidate that does not claim may not
/// know the Service yet, or may have lost the API server.
pub(super) const CLAIM_DELAY: Duration = Duration::from_millis(500);

/// What this node does after a review of all addresses.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    /// What it announces.
    pub(crate) announce: BTreeMap<IpAddr, Announcement>,
    /// What it answers for as a deputy.
    pub(crate) duties: BTreeMap<IpAddr, DeputyDuty>,
    /// The nodes to check on the wire.
    pub(crate) checks: BTreeSet<NodeName>,
    /// When ownership is reviewed again, if nothing happens before.
    pub(crate) recheck: Option<Instant>,
}

/// One address under review, and what the decision depends on.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) snapshot: &'a ClusterSnapshot,
    pub(super) address: IpAddr,
    pub(super) verdicts: &'a Verdicts,
}

impl<'a> Case<'a> {
    pub(super) const fn now(&self) -> Instant {
        self.view.now
    }

    pub(super) const fn me(&self) -> &'a NodeName {
        &self.view.context.me
    }
}

/// The owner of an address, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// It is alive.
    Present(NodeName),
    /// Its speaker may be down; its node may live.
    Away(NodeName),
    /// Nobody owns the address, and why.
    Unowned(Cause),
}
