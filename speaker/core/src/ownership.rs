//! Ownership: which node announces which address, and when that changes.
//!
//! The owner of an address, as each node sees it:
//! ```text
//!                 claim                    suspect, or shutting down
//!   no owner ───────────────► present ◄───────────────────────────────► away
//!      ▲                         │              heard again               │ a deputy answers
//!      │ not eligible, released, │                                        │
//!      └ or handed over ◄────────┴────────────────────────────────────────┘
//!                                  node down, or its speaker down for too long (60 s)
//! ```
//! [`eligibility`] says which nodes may own an address, [`ranking`] in which order they come,
//! `claims` which claim wins. `decide` puts them together; `takeover`, `deputy` and `transition`
//! act on it.

mod address_state;
mod case;
pub(crate) mod claims;
mod decide;
mod deputy;
pub(crate) mod eligibility;
mod offers;
mod partition;
pub(crate) mod ranking;
mod rebalance;
mod recorded;
mod retransmit;
mod rivals;
mod standing;
mod takeover;
mod transition;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use address_state::Acquisition;
use address_state::{AddressState, Contention};
pub(crate) use case::Decision;
use claims::{ClaimContext, ClaimOutcome, Claims};
use eligibility::{AllVerdicts, KnownNetworks, Verdicts};
use rebalance::Rebalance;
use recorded::RecordedAddresses;
pub(crate) use rivals::RivalStanding;

use crate::{cluster_snapshot::ClusterSnapshot, context::Turn, liveness::View, types::NodeName, wire::message::Claim};

/// The contention back-off resets after this long without losing the address.
const CONTENTION_RESET: Duration = Duration::from_secs(120);

/// A claim from a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceivedClaim<'a> {
    /// The claimant.
    pub(crate) node: &'a NodeName,
    pub(crate) claim: Claim,
    /// Whether another node than the claimant sent it.
    pub(crate) relayed: bool,
}

/// What this node knows of the ownership of all addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ownership {
    claims: Claims,
    addresses: BTreeMap<IpAddr, AddressState>,
    /// The owners from before this speaker started; `None` before the first snapshot.
    recorded: Option<RecordedAddresses>,
    /// The verdicts on all addresses, until something changes that they depend on.
    verdicts: Option<Arc<AllVerdicts>>,
    /// The peers that could take an address when the verdicts were made.
    available: BTreeSet<NodeName>,
    /// The networks on which such a peer had failed then.
    failed_networks: BTreeMap<NodeName, BTreeSet<String>>,
    rebalance: Rebalance,
}

impl Ownership {
    pub(crate) const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// How this node became the owner of an address.
    pub(crate) fn taken(&self, address: IpAddr) -> Option<&Acquisition> {
        self.addresses.get(&address)?.taken.as_ref()
    }

    /// Forgets the verdicts, because what they depend on has changed.
    pub(crate) fn invalidate_verdicts(&mut self) {
        self.verdicts = None;
    }

    /// Forgets what is about addresses that the snapshot no longer has.
    pub(crate) fn retain(&mut self, turn: &mut Turn<'_>, cycle: Duration, snapshot: &ClusterSnapshot) {
        // Other nodes may know an address before this one: their claims stay while they repeat
        // them.
        let used = |address| snapshot.addresses.contains_key(&address);
        self.claims.retain(turn.now, cycle, used);
        self.addresses.retain(|address, _| used(*address));
        self.recorded
            .get_or_insert_with(|| RecordedAddresses::at_start(turn.now, snapshot))
            .retain(used);
        self.verdicts = None;
        self.arm_retransmission(turn);
    }

    /// Keeps the own claims from becoming stale.
    pub(crate) fn keep_own_claims_fresh(&mut self, now: Instant, me: &NodeName) {
        self.claims.keep_fresh(now, me);
    }

    /// The verdicts on all addresses. They depend on the snapshot, the networks of all nodes, and
    /// on which peers are available.
    pub(crate) fn refresh_verdicts(&mut self, view: &View<'_>, snapshot: &ClusterSnapshot) -> Arc<AllVerdicts> {
        let available = view.peers().available_networks(view.now);
        let available: BTreeSet<NodeName> = available.map(|(node, _)| node.clone()).collect();
        let failed = view.failed_networks();
        if available != self.available || failed != self.failed_networks {
            self.available = available;
            self.failed_networks = failed;
            self.verdicts = None;
        }
        if let Some(known) = &self.verdicts {
            return known.clone();
        }
        let known = KnownNetworks {
            networks: view.networks(),
            failed: self.failed_networks.clone(),
        };
        let mut all = AllVerdicts::with_capacity(snapshot.addresses.len());
        for address in snapshot.addresses.keys() {
            let new = eligibility::verdicts(snapshot, &known, *address);
            // Most addresses are alike, and share one copy.
            let shared = match all.last() {
                Some((_, last)) if **last == new => last.clone(),
                _ => Arc::new(new),
            };
            all.push((*address, shared));
        }
        let made = Arc::new(all);
        self.verdicts = Some(made.clone());
        made
    }

    /// Records a claim.
    pub(crate) fn handle_claim(
        &mut self,
        turn: &mut Turn<'_>,
        view: &View<'_>,
        received: ReceivedClaim<'_>,
    ) -> ClaimOutcome {
        let ReceivedClaim { node, claim, relayed } = received;
        let address = claim.address;
        self.forget_recorded(address);
        let was_ours = self.claims.owner(address) == Some(&turn.context.me);
        let snapshot = view.context.snapshot.as_deref();
        if snapshot.is_some_and(|snapshot| self.put_aside(view, snapshot, received)) {
            return ClaimOutcome::Unchanged;
        }
        let is_heard = |node: &NodeName| view.is_heard(node);
        let context = claim_context(view, &is_heard);
        let outcome = if relayed {
            self.claims.hear_relayed(&context, node, claim)
        } else {
            self.claims.hear(&context, node, claim)
        };
        if outcome == ClaimOutcome::Changed {
            if was_ours {
                self.note_contention_if_disputed(view, address);
            }
            turn.request_review();
        }
        outcome
    }

    /// Forgets who announced an address before this speaker started: from now on the claims decide.
    fn forget_recorded(&mut self, address: IpAddr) {
        if let Some(recorded) = &mut self.recorded {
            recorded.consume(address);
        }
    }

    /// Records that a node has released an address.
    pub(crate) fn handle_release(&mut self, turn: &mut Turn<'_>, node: &NodeName, claim: Claim) {
        self.forget_distant(node, claim);
        if self.claims.release(node, claim) {
            turn.request_review();
        }
    }

    /// Records that a deputy answers for addresses of this node.
    pub(crate) fn handle_deputy_confirmation(&mut self, me: &NodeName, addresses: &[IpAddr]) {
        for address in addresses {
            if self.claims.owner(*address) == Some(me) {
                self.addresses.entry(*address).or_default().covered = true;
            }
        }
    }

    /// Whether a deputy has confirmed that it answers for an address.
    pub(crate) fn is_covered(&self, address: IpAddr) -> bool {
        self.addresses.get(&address).is_some_and(|state| state.covered)
    }

    /// Notes a contention if the new owner of an address is ineligible while this node is eligible,
    /// as far as this node knows.
    fn note_contention_if_disputed(&mut self, view: &View<'_>, address: IpAddr) {
        let Some(snapshot) = view.context.snapshot.as_ref() else {
            return;
        };
        let all = self.refresh_verdicts(view, snapshot);
        let Some(owner) = self.claims.owner(address) else {
            return;
        };
        let is_disputed = verdicts_on(&all, address).is_some_and(|verdicts| {
            let eligible = |node: &NodeName| matches!(verdicts.get(node), Some(Ok(_)));
            eligible(&view.context.me) && !eligible(owner)
        });
        if is_disputed {
            self.note_contention(view.now, address);
        }
    }

    fn note_contention(&mut self, now: Instant, address: IpAddr) {
        let state = self.addresses.entry(address).or_default();
        let before = state.contention.filter(|before| now <= before.last + CONTENTION_RESET);
        state.contention = Some(Contention {
            times: before.map_or(0, |before| before.times).saturating_add(1),
            last: now,
        });
    }
}

fn claim_context<'a>(view: &View<'_>, is_heard: &'a dyn Fn(&NodeName) -> bool) -> ClaimContext<'a> {
    ClaimContext {
        now: view.now,
        cycle: view.cycle(),
        is_heard,
    }
}

fn verdicts_on(all: &AllVerdicts, address: IpAddr) -> Option<&Verdicts> {
    let place = all.binary_search_by_key(&address, |(of, _)| *of).ok()?;
    all.get(place).map(|(_, verdicts)| &**verdicts)
}

/// Keeps the earlier of two times.
fn keep_earlier(time: &mut Option<Instant>, other: Option<Instant>) {
    *time = [*time, other].into_iter().flatten().min();
}

#[cfg(test)]
mod tests;
