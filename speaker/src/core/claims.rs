//! Who owns what, by what the owners say.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::election::comes_first;
use crate::wire::message::{Claim, NodeName};

/// A claim that was not repeated for this long is void, although its owner is alive: it has forgotten it. `cycle` is how often an owner
/// repeats its claims.
#[must_use]
pub fn stale_after(cycle: Duration) -> Duration {
    cycle * 30
}

/// Who owns an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The node.
    pub node: NodeName,
    /// The epoch of its claim.
    pub epoch: u64,
    /// When the claim was last heard, or made.
    pub heard: Instant,
    /// Whether it was heard from another node, which hears the owner where we may not.
    pub vouched: bool,
    /// Whether the owner has said that it no longer announces it.
    pub released: bool,
    /// Whether the owner holds it back, as [`Claim::held_back`] says.
    pub held_back: bool,
}

impl Holder {
    fn new(now: Instant, node: &NodeName, claim: Claim) -> Self {
        Self {
            node: node.clone(),
            epoch: claim.epoch,
            heard: now,
            vouched: false,
            released: false,
            held_back: claim.held_back,
        }
    }

    /// The claim to `address` by which it holds that.
    #[must_use]
    pub const fn claim(&self, address: IpAddr) -> Claim {
        Claim {
            address,
            epoch: self.epoch,
            held_back: self.held_back,
        }
    }
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Nothing new.
    Same,
    /// The address has another owner now.
    Changed,
    /// The claim is outdated: whoever made it is to be told who owns the address.
    Outdated,
}

/// All claims.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    holders: BTreeMap<IpAddr, Holder>,
}

impl Claims {
    /// Who claims `address`.
    #[must_use]
    pub fn holder(&self, address: IpAddr) -> Option<&Holder> {
        self.holders.get(&address)
    }

    /// Every claim, and whose it is.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeName, Claim)> {
        let claims = self.holders.iter();
        claims.map(|(address, holder)| (&holder.node, holder.claim(*address)))
    }

    /// The claims of one node.
    #[must_use]
    pub fn of(&self, node: &NodeName) -> Vec<Claim> {
        let own = self.holders.iter().filter(|(_, holder)| holder.node == *node);
        own.map(|(address, holder)| holder.claim(*address)).collect()
    }

    /// A node takes `address`: with a higher epoch than anybody before it, and holds it back at first if it has to be probed for.
    pub fn take(&mut self, now: Instant, node: &NodeName, address: IpAddr, held_back: bool) -> u64 {
        let epoch = self
            .holders
            .get(&address)
            .map_or(1, |holder| holder.epoch.saturating_add(1));
        let claim = Claim {
            address,
            epoch,
            held_back,
        };
        self.holders.insert(address, Holder::new(now, node, claim));
        epoch
    }

    /// A node no longer holds back what it has claimed. Gives back the claim, if that is news.
    pub fn clear(&mut self, node: &NodeName, address: IpAddr) -> Option<Claim> {
        let holder = self.holders.get_mut(&address)?;
        if holder.node != *node || !std::mem::take(&mut holder.held_back) {
            return None;
        }
        Some(holder.claim(address))
    }

    /// A node says that it owns an address. The higher epoch holds; of two equal ones the node that comes first in the election. A claim
    /// that is void, since its owner is dead or has forgotten it, outbids nobody.
    pub fn hear(
        &mut self,
        now: Instant,
        cycle: Duration,
        node: &NodeName,
        claim: Claim,
        alive: impl Fn(&NodeName) -> bool,
    ) -> Settled {
        let Some(known) = self.holders.get_mut(&claim.address) else {
            self.holders.insert(claim.address, Holder::new(now, node, claim));
            return Settled::Changed;
        };
        if known.node == *node {
            known.heard = now;
            known.vouched = false;
            // What was released stays so until it is taken anew, and so does what is no longer held back: messages may overtake each other.
            let anew = claim.epoch > known.epoch;
            known.released &= !anew;
            known.epoch = known.epoch.max(claim.epoch);
            let held_back = if anew {
                claim.held_back
            } else {
                known.held_back && (claim.held_back || claim.epoch < known.epoch)
            };
            return if std::mem::replace(&mut known.held_back, held_back) == held_back {
                Settled::Same
            } else {
                Settled::Changed
            };
        }
        let void = !(alive(&known.node) || known.vouched) || now >= known.heard + stale_after(cycle);
        let wins = void
            || claim.epoch > known.epoch
            || (claim.epoch == known.epoch && comes_first(claim.address, node, &known.node));
        if !wins {
            return Settled::Outdated;
        }
        *known = Holder::new(now, node, claim);
        Settled::Changed
    }

    /// A node says that another one owns an address.
    pub fn vouch(
        &mut self,
        now: Instant,
        cycle: Duration,
        node: &NodeName,
        claim: Claim,
        alive: impl Fn(&NodeName) -> bool,
    ) -> Settled {
        let settled = self.hear(now, cycle, node, claim, alive);
        if let Some(holder) = self
            .holders
            .get_mut(&claim.address)
            .filter(|holder| holder.node == *node)
        {
            holder.vouched = true;
        }
        settled
    }

    /// A node no longer announces an address. Gives back whether that is news.
    pub fn release(&mut self, node: &NodeName, claim: Claim) -> bool {
        let holder = self.holders.get_mut(&claim.address);
        let holder = holder.filter(|holder| holder.node == *node && holder.epoch <= claim.epoch && !holder.released);
        holder.map(|holder| holder.released = true).is_some()
    }

    /// The own claims never grow stale.
    pub fn refresh(&mut self, now: Instant, node: &NodeName) {
        for holder in self.holders.values_mut().filter(|holder| holder.node == *node) {
            holder.heard = now;
        }
    }

    /// Forgets the claims to addresses that are not used: those of `me` at once, those of others when they are no longer repeated.
    pub fn retain(&mut self, now: Instant, me: &NodeName, cycle: Duration, used: impl Fn(IpAddr) -> bool) {
        let stale = stale_after(cycle);
        self.holders
            .retain(|address, holder| used(*address) || (holder.node != *me && now < holder.heard + stale));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "10.0.0.1";
    const CYCLE: Duration = Duration::from_secs(2);

    fn claim(epoch: u64) -> Claim {
        Claim {
            address: ADDRESS.parse().unwrap(),
            epoch,
            held_back: false,
        }
    }

    #[test]
    fn the_higher_epoch_holds_and_equal_ones_are_settled_by_the_election_whichever_comes_first() {
        let now = lodestone_runtime::clock::now();
        // By the golden vectors node-b comes before node-a for this address.
        let (a, b): (NodeName, NodeName) = ("node-a".into(), "node-b".into());
        for (first, second, owner) in [
            ((&a, 1), (&b, 1), &b),
            ((&b, 1), (&a, 1), &b),
            ((&a, 2), (&b, 1), &a),
            ((&b, 1), (&a, 2), &a),
        ] {
            let mut claims = Claims::default();
            assert_eq!(
                claims.hear(now, CYCLE, first.0, claim(first.1), |_| true),
                Settled::Changed
            );
            let settled = claims.hear(now, CYCLE, second.0, claim(second.1), |_| true);
            assert_eq!(
                settled,
                if second.0 == owner {
                    Settled::Changed
                } else {
                    Settled::Outdated
                }
            );
            assert_eq!(&claims.holder(ADDRESS.parse().unwrap()).unwrap().node, owner);
        }
    }

    #[test]
    fn whoever_takes_an_address_outbids_everybody_before() {
        let now = lodestone_runtime::clock::now();
        let (a, b): (NodeName, NodeName) = ("node-a".into(), "node-b".into());
        let mut claims = Claims::default();
        claims.hear(now, CYCLE, &b, claim(41), |_| true);
        assert_eq!(claims.take(now, &a, ADDRESS.parse().unwrap(), false), 42);
        assert_eq!(claims.hear(now, CYCLE, &b, claim(41), |_| true), Settled::Outdated);
        assert_eq!((claims.of(&a), claims.of(&b)), (vec![claim(42)], vec![]));
        assert_eq!(
            claims.hear(now, CYCLE, &b, claim(1), |node| *node == b),
            Settled::Changed,
            "the claim of a dead node is void"
        );
    }
}
