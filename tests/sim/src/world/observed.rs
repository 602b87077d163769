//! Events that the speakers report.

use std::{collections::BTreeMap, net::IpAddr, time::Instant};

use lodestone_speaker_core::{Event, NodeName, OwnershipCause};

use super::World;

/// An event of a speaker.
#[derive(Clone, Debug)]
pub struct Observed {
    /// When it was reported.
    pub at: Instant,
    /// The index of the node whose speaker reported it.
    pub node: usize,
    /// The event.
    pub event: Event,
}

/// A node became the owner of an address.
#[derive(Clone, Copy, Debug)]
pub struct Takeover<'a> {
    /// The address.
    pub address: IpAddr,
    /// The owner before, if the new owner knew one.
    pub from: Option<&'a NodeName>,
    /// Why the address moved.
    pub cause: &'a OwnershipCause,
}

impl Observed {
    /// Returns the takeover that the event reports, if it reports one.
    #[must_use]
    pub const fn takeover(&self) -> Option<Takeover<'_>> {
        match &self.event {
            Event::OwnershipTaken {
                address, from, cause, ..
            } => Some(Takeover {
                address: *address,
                from: from.as_ref(),
                cause,
            }),
            _ => None,
        }
    }
}

impl World {
    /// Returns how many Services each node announces, by ServiceL2Status.
    #[must_use]
    pub fn recorded_shares(&self) -> BTreeMap<usize, usize> {
        let mut shares = BTreeMap::new();
        let nodes = self.statuses.values().flatten();
        for node in nodes.filter_map(|node| self.index_of(node)) {
            *shares.entry(node).or_default() += 1;
        }
        shares
    }

    /// Returns the observed takeovers by nodes for which `by` is true, as text.
    #[must_use]
    pub fn takeovers(&self, by: impl Fn(usize) -> bool) -> Vec<String> {
        self.observed
            .iter()
            .filter(|observed| observed.takeover().is_some() && by(observed.node))
            .map(|observed| {
                let at = observed.at - self.start;
                format!("{at:?} {}: {}", self.nodes[observed.node].name, observed.event)
            })
            .collect()
    }
}
