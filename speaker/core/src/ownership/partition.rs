//! A segment in two parts whose nodes still hear each other on another network.
//!
//! An owner serves the hosts of its own part only, so each part needs an owner. Each part takes the
//! address when the owner of the other part falls silent on the segment. Of two claims the higher
//! epoch would win, and the parts would take the address from each other for as long as the
//! partition lasts. So a node puts a claim from the other part aside while its own part has an
//! owner. When the parts are one again, the higher epoch wins.
//!
//! A claimant is in this part if its heartbeats arrive on the segment. Above eight nodes a node
//! does not watch all others there. Then a frame of the claimant decides: a new owner announces the
//! address on the segment.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    Ownership, ReceivedClaim, address_state::DistantClaim, case::Decision, claim_context, claims::stale_after,
    eligibility::Verdicts, keep_earlier, standing::standing, verdicts_on,
};
use crate::{
    cluster_snapshot::ClusterSnapshot,
    context::Turn,
    liveness::{View, peers::Phase, reachability::Reachability},
    node::interface::InterfacePort,
    types::NodeName,
    wire::message::{Claim, Network},
};

/// How long before its claim a frame of the claimant may have arrived. It is less than the time
/// after which an owner counts as failed, so no frame from before a partition is so late.
const FRAME_BEFORE_CLAIM: Duration = Duration::from_millis(100);

/// How often an owner looks for a frame of the claimant, which it asks all the while.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(50);

impl Ownership {
    /// Puts a claim aside if it comes from another part of the segment. Returns whether it does.
    pub(super) fn put_aside(
        &mut self,
        view: &View<'_>,
        snapshot: &ClusterSnapshot,
        received: ReceivedClaim<'_>,
    ) -> bool {
        let ReceivedClaim { node, claim, relayed } = received;
        let since = self.distant_since(node, claim.address).unwrap_or(view.now);
        // mutation: parts-of-a-segment-take-turns
        let is_distant = self.is_distant(view, snapshot, received, since);
        if is_distant {
            let state = self.addresses.entry(claim.address).or_default();
            let known = state.distant.as_ref();
            if known.is_none_or(|known| known.node == *node || known.claim.epoch <= claim.epoch) {
                state.distant = Some(DistantClaim {
                    node: node.clone(),
                    claim,
                    since,
                    heard: view.now,
                    relayed,
                });
            }
        }
        is_distant
    }

    /// Whether a node claims the address, even in another part.
    pub(crate) fn is_claimed_by(&self, address: IpAddr, node: &NodeName) -> bool {
        self.claims.owner(address) == Some(node) || self.distant_since(node, address).is_some()
    }

    /// Since when a claim of this node to this address has been put aside.
    fn distant_since(&self, node: &NodeName, address: IpAddr) -> Option<Instant> {
        let distant = self.addresses.get(&address)?.distant.as_ref()?;
        (distant.node == *node).then_some(distant.since)
    }

    /// Hears the claims that were put aside from nodes that are no longer in another part.
    pub(super) fn reunite(
        &mut self,
        turn: &mut Turn<'_>,
        view: &View<'_>,
        snapshot: &ClusterSnapshot,
        decision: &mut Decision,
    ) {
        let states = self.addresses.iter_mut();
        let distant: Vec<DistantClaim> = states.filter_map(|(_, state)| state.distant.take()).collect();
        for distant in distant {
            let is_valid = view.is_heard(&distant.node) && view.now < distant.heard + stale_after(view.cycle());
            let received = ReceivedClaim {
                node: &distant.node,
                claim: distant.claim,
                relayed: distant.relayed,
            };
            if !is_valid {
                continue;
            }
            // A node that was isolated has not told yet that it is no longer.
            if self.is_distant(view, snapshot, received, distant.since)
                || !self.may_announce_again(view, snapshot, received)
            {
                self.look_for(view, snapshot, &distant, decision);
                let state = self.addresses.entry(distant.claim.address).or_default();
                state.distant = Some(distant);
            } else {
                let is_heard = |node: &NodeName| view.is_heard(node);
                let context = claim_context(view, &is_heard);
                if distant.relayed {
                    self.claims.hear_relayed(&context, &distant.node, distant.claim);
                } else {
                    self.claims.hear(&context, &distant.node, distant.claim);
                }
                turn.request_review();
            }
        }
    }

    /// Asks the other owner of an address of this node on the segment, to learn at once when the
    /// parts are one.
    fn look_for(
        &mut self,
        view: &View<'_>,
        snapshot: &ClusterSnapshot,
        distant: &DistantClaim,
        decision: &mut Decision,
    ) {
        let address = distant.claim.address;
        if self.claims.owner(address) != Some(&view.context.me) {
            return;
        }
        let all = self.refresh_verdicts(view, snapshot);
        let standing = verdicts_on(&all, address).and_then(|all| standing(view, address, all, &distant.node));
        if let Some(Ok(announced)) = standing {
            let tentative = distant.claim.tentative;
            decision.check(&distant.node, &announced.interfaces, address, tentative);
            keep_earlier(&mut decision.recheck, Some(view.now + LOOK_INTERVAL));
        }
    }

    /// Forgets a claim that was put aside, because the claimant has released the address.
    pub(super) fn forget_distant(&mut self, node: &NodeName, claim: Claim) {
        if let Some(state) = self.addresses.get_mut(&claim.address) {
            state
                .distant
                .take_if(|distant| distant.node == *node && distant.claim.epoch <= claim.epoch);
        }
    }

    /// Whether the claimant may announce the address, and is known to be back where it does. A
    /// report that it has failed there may come late.
    fn may_announce_again(&mut self, view: &View<'_>, snapshot: &ClusterSnapshot, received: ReceivedClaim<'_>) -> bool {
        let (address, node) = (received.claim.address, received.node);
        let all = self.refresh_verdicts(view, snapshot);
        let standing = verdicts_on(&all, address).and_then(|verdicts| standing(view, address, verdicts, node));
        let Some(Ok(announced)) = standing else {
            return false;
        };
        let phase = view.phase_for(&announced.interfaces, node);
        !phase.is_some_and(Phase::is_failed)
            || view.reachability(node, &announced.interfaces) == Reachability::SpeakerAlive
    }

    /// Whether a claim that would win comes from a node that is not heard where it announces the
    /// address, while the owner is. `since`: when the claim was heard first.
    fn is_distant(
        &mut self,
        view: &View<'_>,
        snapshot: &ClusterSnapshot,
        received: ReceivedClaim<'_>,
        since: Instant,
    ) -> bool {
        let ReceivedClaim { node, claim, .. } = received;
        let record = self.claims.get(claim.address);
        let Some(record) = record.filter(|record| record.node != *node && record.epoch <= claim.epoch) else {
            return false;
        };
        let is_void =
            record.is_from_earlier_use || record.released || view.now >= record.heard + stale_after(view.cycle());
        if is_void || !view.is_heard(node) {
            return false;
        }
        let owner = record.node.clone();
        let all = self.refresh_verdicts(view, snapshot);
        verdicts_on(&all, claim.address).is_some_and(|verdicts| {
            is_absent_there(view, (claim.address, verdicts), node, since) && is_present(view, verdicts, &owner)
        })
    }
}

/// Whether a node is not heard where it announces the address, on a segment that it shares with
/// this node. `since`: when its claim was heard first. Reports of others do not count: they may
/// come from the other part.
fn is_absent_there(view: &View<'_>, (address, verdicts): (IpAddr, &Verdicts), node: &NodeName, since: Instant) -> bool {
    let Some(Ok(announced)) = standing(view, address, verdicts, node) else {
        return false;
    };
    let facing = view.pairs(node).into_iter();
    let mut shared = facing
        .filter(|(_, network)| announced.interfaces.contains(&network.interface))
        .peekable();
    let is_absent = |(port, network): (InterfacePort, &Network)| {
        let path = view.path_to(node, network);
        if let Some(phase) = path.and_then(|path| view.peers().phase_on(node, view.now, path)) {
            return phase.is_failed();
        }
        // mutation: frame-of-the-claimant-not-awaited
        let last = view.around.heard_macs.last_frame(port.index, network.mac);
        last.is_none_or(|last| last + FRAME_BEFORE_CLAIM < since)
    };
    // Of several segments one is enough to hear it.
    shared.peek().is_some() && shared.all(is_absent)
}

/// Whether a node is alive where it would announce the address. This one is, unless it is isolated
/// there.
fn is_present(view: &View<'_>, verdicts: &Verdicts, node: &NodeName) -> bool {
    let Some(Ok(announced)) = verdicts.get(node) else {
        return false;
    };
    if *node != view.context.me {
        let phase = view.phase_for(&announced.interfaces, node);
        return phase.is_some_and(|phase| !phase.is_failed());
    }
    let ports = view.around.node.ports_named(&announced.interfaces);
    ports.iter().any(|port| !view.is_isolated_on(port.index))
}
