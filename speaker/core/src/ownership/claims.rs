//! Which node claims which address, and which of two claims wins.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::ranking::ranks_before;
use crate::{
    types::{Epoch, NodeName},
    wire::message::Claim,
};

/// The number of addresses whose claims a node remembers. A holder of the key can claim any number.
/// It is far above what a cluster has.
const MAX_CLAIMS: usize = 1 << 16;

/// How long a claim is valid without being repeated, although its owner is alive: the owner must
/// have forgotten it. `cycle` is the period of anti-entropy.
#[must_use]
pub(crate) fn stale_after(cycle: Duration) -> Duration {
    cycle * 30
}

/// The claim in force for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimRecord {
    pub(crate) node: NodeName,
    pub(crate) epoch: Epoch,
    /// When the claim was last heard, or made.
    pub(crate) heard: Instant,
    /// Whether a third node relayed it. That node hears the owner; this node may not.
    pub(crate) relayed: bool,
    /// Whether the owner has released the address.
    pub(crate) released: bool,
    /// As in [`Claim::tentative`].
    pub(crate) tentative: bool,
    /// Whether the address has lost its Services since the claim was last heard. A foreign host may
    /// have got it before it came back.
    pub(crate) is_from_earlier_use: bool,
}

impl ClaimRecord {
    fn new(now: Instant, node: &NodeName, claim: Claim) -> Self {
        Self {
            node: node.clone(),
            epoch: claim.epoch,
            heard: now,
            relayed: false,
            released: false,
            tentative: claim.tentative,
            is_from_earlier_use: false,
        }
    }

    /// Whether the owner announced the address in its present use, so that no foreign host has it.
    pub(crate) const fn is_proven(&self) -> bool {
        !(self.tentative || self.is_from_earlier_use)
    }

    /// Whether `node`, which is this one, announced the address in a past use only. The others take
    /// that claim for valid until they hear another one.
    pub(crate) fn is_from_earlier_use_by(&self, node: &NodeName) -> bool {
        self.is_from_earlier_use && self.node == *node
    }

    /// The claim to `address`.
    pub(crate) const fn claim(&self, address: IpAddr) -> Claim {
        Claim {
            address,
            epoch: self.epoch,
            tentative: self.tentative,
        }
    }

    /// Records that the owner repeats its claim. Returns whether anything changed.
    fn refresh(&mut self, now: Instant, claim: Claim) -> bool {
        self.heard = now;
        self.relayed = false;
        // Messages may overtake each other: what was released or announced stays so until a new
        // epoch. For an address that comes back, the epochs of a restarted owner begin again.
        // mutation: epoch-of-the-earlier-use-kept
        let begins_again = std::mem::take(&mut self.is_from_earlier_use);
        let is_new_use = begins_again || claim.epoch > self.epoch;
        let was_released = self.released;
        self.released &= !is_new_use;
        if is_new_use {
            self.epoch = claim.epoch;
        }
        let tentative = if is_new_use {
            claim.tentative
        } else {
            self.tentative && (claim.tentative || claim.epoch < self.epoch)
        };
        let was_tentative = std::mem::replace(&mut self.tentative, tentative);
        // mutation: return-of-a-released-claim-not-noticed
        was_tentative != tentative || was_released != self.released
    }
}

/// What follows from a claim that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimOutcome {
    /// Nothing new.
    Unchanged,
    /// The address has another owner, or is no longer tentative.
    Changed,
    /// A better claim is known: the sender has to learn it.
    Outdated,
}

/// What decides whether a claim in force is still valid.
#[derive(Clone, Copy)]
pub(crate) struct ClaimContext<'a> {
    pub(crate) now: Instant,
    /// The period of anti-entropy.
    pub(crate) cycle: Duration,
    pub(crate) is_heard: &'a dyn Fn(&NodeName) -> bool,
}

/// The claims in force, one for each address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    records: BTreeMap<IpAddr, ClaimRecord>,
}

impl Claims {
    /// The claim in force for `address`.
    pub(crate) fn get(&self, address: IpAddr) -> Option<&ClaimRecord> {
        self.records.get(&address)
    }

    /// The node whose claim to `address` is in force.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<&NodeName> {
        self.records.get(&address).map(|record| &record.node)
    }

    /// Every claim with its node.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeName, Claim)> {
        let records = self.records.iter();
        records.map(|(address, record)| (&record.node, record.claim(*address)))
    }

    /// The claims of one node.
    pub(crate) fn of(&self, node: &NodeName) -> Vec<Claim> {
        let own = self.records.iter().filter(|(_, record)| record.node == *node);
        own.map(|(address, record)| record.claim(*address)).collect()
    }

    /// Claims `address` for `node`, with a higher epoch than any claim before.
    pub(crate) fn take(&mut self, now: Instant, node: &NodeName, address: IpAddr, tentative: bool) -> Epoch {
        let before = self.records.get(&address);
        // mutation: takeover-keeps-epoch
        let epoch = before.map_or(Epoch::FIRST, |record| record.epoch.next());
        let claim = Claim {
            address,
            epoch,
            tentative,
        };
        self.records.insert(address, ClaimRecord::new(now, node, claim));
        epoch
    }

    /// Replaces the claim to `address` by one of `node`, which answers for it on the wire, as if
    /// another node relayed it. Returns the claim.
    ///
    /// It is tentative, because no message proves it: no deputy answers for it, and a node that
    /// takes the address later probes it.
    pub(crate) fn concede(&mut self, now: Instant, address: IpAddr, node: &NodeName) -> Option<Claim> {
        let record = self.records.get_mut(&address)?;
        let claim = Claim {
            address,
            epoch: record.epoch.next(),
            // mutation: conceded-for-certain
            tentative: true,
        };
        *record = ClaimRecord::new(now, node, claim);
        record.relayed = true;
        Some(claim)
    }

    /// Marks a node's claim as no longer tentative. Returns the claim if that is news.
    pub(crate) fn confirm(&mut self, node: &NodeName, address: IpAddr) -> Option<Claim> {
        let record = self.records.get_mut(&address)?;
        if record.node != *node || !std::mem::take(&mut record.tentative) {
            return None;
        }
        Some(record.claim(address))
    }

    /// Records a node's own claim. The higher epoch wins. Of equal epochs, one that is not
    /// tentative wins; otherwise the rank settles them. A claim is void when its owner has failed
    /// or has forgotten it, or when the address has lost its Services since. Then any other claim
    /// wins. Claims to more than [`MAX_CLAIMS`] addresses are ignored.
    pub(crate) fn hear(&mut self, context: &ClaimContext<'_>, node: &NodeName, claim: Claim) -> ClaimOutcome {
        let now = context.now;
        let is_full = self.records.len() >= MAX_CLAIMS;
        let Some(known) = self.records.get_mut(&claim.address) else {
            // mutation: claims-without-limit
            if is_full {
                return ClaimOutcome::Unchanged;
            }
            self.records.insert(claim.address, ClaimRecord::new(now, node, claim));
            return ClaimOutcome::Changed;
        };
        if known.node == *node {
            return if known.refresh(now, claim) {
                ClaimOutcome::Changed
            } else {
                ClaimOutcome::Unchanged
            };
        }
        let is_void = known.is_from_earlier_use
            || !((context.is_heard)(&known.node) || known.relayed)
            || now >= known.heard + stale_after(context.cycle);
        let ranks_first = match (claim.tentative, known.tentative) {
            // A node that answers for the address keeps it.
            (true, false) => false,
            (false, true) => true,
            _ => ranks_before(claim.address, node.as_str(), known.node.as_str()),
        };
        // mutation: equal-epochs-not-settled
        let wins_tie = claim.epoch == known.epoch && ranks_first;
        if !(is_void || claim.epoch > known.epoch || wins_tie) {
            return ClaimOutcome::Outdated;
        }
        *known = ClaimRecord::new(now, node, claim);
        ClaimOutcome::Changed
    }

    /// Records a claim of `node` that another node relays.
    pub(crate) fn hear_relayed(&mut self, context: &ClaimContext<'_>, node: &NodeName, claim: Claim) -> ClaimOutcome {
        let outcome = self.hear(context, node, claim);
        let record = self.records.get_mut(&claim.address);
        if let Some(record) = record.filter(|record| record.node == *node) {
            record.relayed = true;
        }
        outcome
    }

    /// Records that a node has released an address. Returns whether that is news.
    pub(crate) fn release(&mut self, node: &NodeName, claim: Claim) -> bool {
        let record = self.records.get_mut(&claim.address);
        let record = record.filter(|record| record.node == *node && record.epoch <= claim.epoch && !record.released);
        record.map(|record| record.released = true).is_some()
    }

    /// The claims that `node` has released, and that no other node has replaced.
    pub(crate) fn released_by(&self, node: &NodeName) -> Vec<Claim> {
        let records = self.records.iter();
        let released = records.filter(|(_, record)| record.released && record.node == *node);
        released.map(|(address, record)| record.claim(*address)).collect()
    }

    /// Keeps the claims of `node`, which is this one, from becoming stale.
    pub(crate) fn keep_fresh(&mut self, now: Instant, node: &NodeName) {
        let own = self.records.values_mut().filter(|record| record.node == *node);
        for record in own.filter(|record| !record.is_from_earlier_use) {
            record.heard = now;
        }
    }

    /// Forgets claims to unused addresses when they are stale. Until then all nodes remember the
    /// same owner and epoch, the former owner included. So they agree on who takes an address that
    /// is used again.
    pub(crate) fn retain(&mut self, now: Instant, cycle: Duration, used: impl Fn(IpAddr) -> bool) {
        let stale = stale_after(cycle);
        self.records.retain(|address, record| {
            let is_used = used(*address);
            record.is_from_earlier_use |= !is_used;
            // mutation: epoch-forgotten-with-the-claim
            is_used || now < record.heard + stale
        });
    }
}

#[cfg(test)]
mod tests;
