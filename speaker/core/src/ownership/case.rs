//! One address under review, and what comes out of the review.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::eligibility::Verdicts;
use crate::{
    cluster_snapshot::ClusterSnapshot,
    event::OwnershipCause,
    lan::{Announcement, DeputyDuty},
    liveness::{CheckTargets, View},
    types::NodeName,
};

/// How long each eligible node waits for the one before it. A node that does not claim may not know
/// the Service yet, or may have lost the API server.
pub(super) const CLAIM_DELAY: Duration = Duration::from_millis(500);

/// What this node does after a review of all addresses.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    /// What it announces.
    pub(crate) announce: BTreeMap<IpAddr, Announcement>,
    /// What it answers for as a deputy.
    pub(crate) duties: BTreeMap<IpAddr, DeputyDuty>,
    /// What to check on the wire.
    pub(crate) checks: CheckTargets,
    /// When ownership is reviewed again, if nothing happens before.
    pub(crate) recheck: Option<Instant>,
}

impl Decision {
    /// Has the owner of an address checked on the segments of the interfaces that announce it.
    /// The check leaves a `tentative` address out, because its owner does not answer for it.
    pub(super) fn check(&mut self, owner: &NodeName, interfaces: &BTreeSet<String>, address: IpAddr, tentative: bool) {
        let targets = self.checks.entry(owner.clone()).or_default();
        for interface in interfaces {
            let addresses = targets.entry(interface.clone()).or_default();
            addresses.extend((!tentative).then_some(address));
        }
    }
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
    Unowned(OwnershipCause),
}
