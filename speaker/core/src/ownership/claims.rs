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
        self.released &= !is_new_use;
        if is_new_use {
            self.epoch = claim.epoch;
        }
        let tentative = if is_new_use {
            claim.tentative
        } else {
            self.tentative && (claim.tentative || claim.epoch < self.epoch)
        };
        std::mem::replace(&mut self.tentative, tentative) != tentative
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
    /// The epochs of own claims to addresses that are no longer used, and when they were forgotten.
    /// The peers remember such a claim until it is stale, so the next one needs a higher epoch.
    forgotten: BTreeMap<IpAddr, (Epoch, Instant)>,
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
        let forgotten = self.forgotten.remove(&address).map(|(epoch, _)| epoch);
        let before = self.records.get(&address).map(|record| record.epoch).max(forgotten);
        // mutation: takeover-keeps-epoch
        let epoch = before.map_or(Epoch::FIRST, |before| before.next());
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

    /// Records a node's own claim. The higher epoch wins; the rank settles equal epochs. A claim
    /// is void when its owner has failed or has forgotten it: then any other claim wins. Claims to
    /// more than [`MAX_CLAIMS`] addresses are ignored.
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
        let is_void =
            !((context.is_heard)(&known.node) || known.relayed) || now >= known.heard + stale_after(context.cycle);
        // mutation: equal-epochs-not-settled
        let wins_tie = claim.epoch == known.epoch && ranks_before(claim.address, node.as_str(), known.node.as_str());
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
        for record in self.records.values_mut().filter(|record| record.node == *node) {
            record.heard = now;
        }
    }

    /// Forgets claims to unused addresses: those of `me` at once, those of others when they are
    /// stale.
    pub(crate) fn retain(&mut self, now: Instant, me: &NodeName, cycle: Duration, used: impl Fn(IpAddr) -> bool) {
        let stale = stale_after(cycle);
        let forgotten = &mut self.forgotten;
        forgotten.retain(|_, (_, since)| now < *since + 2 * stale);
        self.records.retain(|address, record| {
            let is_used = used(*address);
            record.is_from_earlier_use |= !is_used;
            if !is_used && record.node == *me {
                // mutation: epoch-forgotten-with-the-claim
                forgotten.insert(*address, (record.epoch, now));
            }
            is_used || (record.node != *me && now < record.heard + stale)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "10.0.0.1";
    fn context(is_heard: &dyn Fn(&NodeName) -> bool) -> ClaimContext<'_> {
        ClaimContext {
            now: crate::testing::start(),
            cycle: Duration::from_secs(2),
            is_heard,
        }
    }

    fn claim(epoch: u64) -> Claim {
        Claim {
            address: ADDRESS.parse().unwrap(),
            epoch: Epoch(epoch),
            tentative: false,
        }
    }

    #[test]
    fn higher_epoch_wins_and_equal_epochs_are_settled_by_rank() {
        // By the golden vectors node-b ranks before node-a for this address.
        let (a, b): (NodeName, NodeName) = ("node-a".into(), "node-b".into());
        let context = context(&|_| true);
        for (first, second, owner) in [
            ((&a, 1), (&b, 1), &b),
            ((&b, 1), (&a, 1), &b),
            ((&a, 2), (&b, 1), &a),
            ((&b, 1), (&a, 2), &a),
        ] {
            let mut claims = Claims::default();
            assert_eq!(claims.hear(&context, first.0, claim(first.1)), ClaimOutcome::Changed);
            let outcome = claims.hear(&context, second.0, claim(second.1));
            let wanted = if second.0 == owner {
                ClaimOutcome::Changed
            } else {
                ClaimOutcome::Outdated
            };
            assert_eq!(outcome, wanted);
            assert_eq!(&claims.get(ADDRESS.parse().unwrap()).unwrap().node, owner);
        }
    }

    #[test]
    fn claims_to_more_addresses_than_a_cluster_has_are_ignored() {
        let b = NodeName::from("node-b");
        let context = context(&|_| true);
        let mut claims = Claims::default();
        let first = u128::from("2001:db8::".parse::<std::net::Ipv6Addr>().unwrap());
        let to = |index: usize| Claim {
            address: std::net::Ipv6Addr::from(first + index as u128).into(),
            ..claim(1)
        };
        for index in 0..MAX_CLAIMS {
            assert_eq!(claims.hear(&context, &b, to(index)), ClaimOutcome::Changed);
        }
        assert_eq!(claims.hear(&context, &b, to(MAX_CLAIMS)), ClaimOutcome::Unchanged);
        assert_eq!(claims.of(&b).len(), MAX_CLAIMS);
    }

    #[test]
    fn takeover_has_a_higher_epoch_than_all_before() {
        let (a, b): (NodeName, NodeName) = ("node-a".into(), "node-b".into());
        let context = context(&|_| true);
        let mut claims = Claims::default();
        claims.hear(&context, &b, claim(41));
        assert_eq!(claims.take(context.now, &a, ADDRESS.parse().unwrap(), false), Epoch(42));
        assert_eq!(claims.hear(&context, &b, claim(41)), ClaimOutcome::Outdated);
        assert_eq!((claims.of(&a), claims.of(&b)), (vec![claim(42)], vec![]));
        let only_b = |node: &NodeName| *node == b;
        let context = self::context(&only_b);
        assert_eq!(
            claims.hear(&context, &b, claim(1)),
            ClaimOutcome::Changed,
            "the claim of a dead node is void"
        );
    }

    const UNUSED: fn(IpAddr) -> bool = |_| false;

    #[test]
    fn claim_for_the_next_use_of_an_address_has_a_higher_epoch() {
        let (a, address) = (NodeName::from("node-a"), ADDRESS.parse().unwrap());
        let (now, cycle) = (crate::testing::start(), Duration::from_secs(2));
        let mut claims = Claims::default();
        assert_eq!(claims.take(now, &a, address, false), Epoch(1));
        claims.retain(now, &a, cycle, UNUSED);
        assert_eq!(claims.of(&a), []);
        assert_eq!(claims.take(now, &a, address, false), Epoch(2));
        claims.retain(now, &a, cycle, UNUSED);
        let later = now + 2 * stale_after(cycle);
        claims.retain(later, &a, cycle, UNUSED);
        let epoch = claims.take(later, &a, address, false);
        assert_eq!(epoch, Epoch(1), "no peer remembers the claim");
    }

    /// The owner has restarted, so its epochs begin again.
    #[test]
    fn lower_epoch_counts_for_the_next_use_of_an_address() {
        let (a, b) = (NodeName::from("node-a"), NodeName::from("node-b"));
        let context = context(&|_| true);
        let mut claims = Claims::default();
        claims.hear(&context, &b, claim(41));
        claims.retain(context.now, &a, context.cycle, UNUSED);
        let tentative = Claim {
            tentative: true,
            ..claim(1)
        };
        claims.hear(&context, &b, tentative);
        assert_eq!(claims.of(&b), [tentative]);
        assert_eq!(claims.hear(&context, &b, claim(1)), ClaimOutcome::Changed);
        assert_eq!(claims.of(&b), [claim(1)]);
        assert!(claims.release(&b, claim(1)));
    }
}
