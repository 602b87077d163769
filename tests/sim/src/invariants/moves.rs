//! An address moves only for a reason (promise P3), and only to a node that reported it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use lodestone_speaker_core::OwnershipCause;

use crate::world::{Observed, Takeover, World};

/// A node that took an address less than this ago may not answer for it yet.
const TAKEOVER_GRACE: Duration = Duration::from_secs(1);

/// What is known of the owners of an address.
#[derive(Debug, Default)]
struct Owners {
    /// The node that was last the only one to answer.
    responder: Option<usize>,
    /// That node, when the cluster was last settled.
    settled: Option<usize>,
    /// The nodes that took the address since.
    takers: BTreeSet<usize>,
    /// Whether one of the takers knew the previous owner. A taker that knew none may have to leave
    /// the address where it is.
    moved: bool,
    last_taken: Option<Instant>,
}

/// The takeovers of all addresses.
#[derive(Debug)]
pub(super) struct Moves {
    /// When each node was last impaired.
    impaired: BTreeMap<usize, Instant>,
    /// When each node last could not answer on the LAN, whatever its speaker does.
    unreachable: BTreeMap<usize, Instant>,
    owners: BTreeMap<IpAddr, Owners>,
}

impl Moves {
    pub(super) const fn new() -> Self {
        Self {
            impaired: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    /// Notes that a node is impaired.
    pub(super) fn note_impaired(&mut self, now: Instant, node: usize) {
        self.impaired.insert(node, now);
    }

    /// Notes that a node cannot answer on the LAN.
    pub(super) fn note_unreachable(&mut self, now: Instant, node: usize) {
        self.unreachable.insert(node, now);
    }

    /// Notes which nodes answer.
    pub(super) fn note_responders(&mut self, world: &World) {
        for address in world.snapshot.addresses.keys() {
            let macs = world.responders(*address);
            let mut nodes = macs.iter().filter_map(|mac| world.node_with_mac(*mac));
            if let (Some(node), None) = (nodes.next(), nodes.next()) {
                self.owners.entry(*address).or_default().responder = Some(node);
            }
        }
    }

    /// Returns what is wrong about an event: a takeover without a reason.
    pub(super) fn check_event(&mut self, world: &World, observed: &Observed) -> Option<String> {
        let Takeover { address, from, cause } = observed.takeover()?;
        let owners = self.owners.entry(address).or_default();
        owners.takers.insert(observed.node);
        owners.last_taken = Some(observed.at);
        let from = from?;
        owners.moved = true;
        let from = world.nodes.iter().position(|node| node.name == *from)?;
        let window = detection_window(cause);
        let was = |state: &BTreeMap<usize, Instant>, node: usize| {
            let last = state.get(&node);
            last.is_some_and(|last| world.now.saturating_duration_since(*last) < window)
        };
        let was_impaired = |node: usize| was(&self.impaired, node);
        let was_unreachable = |node: usize| was(&self.unreachable, node);
        if *cause == OwnershipCause::NodeDown && !was_unreachable(from) && !was_unreachable(observed.node) {
            let (to, from) = (&world.nodes[observed.node].name, &world.nodes[from].name);
            return Some(format!(
                "{to} took {address} because {from} is down, but only the speaker of {from} was"
            ));
        }
        // An isolated taker may conclude that the others have failed.
        if is_planned(cause) || was_impaired(from) || was_impaired(observed.node) {
            return None;
        }
        let (to, from) = (&world.nodes[observed.node].name, &world.nodes[from].name);
        Some(format!(
            "{address} moved from {from} to {to} without a reason, because: {cause}"
        ))
    }

    /// Checks the owners after the cluster was repaired and had time to settle. Returns what is
    /// wrong: an address that the node that took it does not own, or that moved although no node
    /// took it.
    pub(super) fn check_settled(&mut self, world: &World) -> Vec<String> {
        let name = |node: usize| world.nodes[node].name.clone();
        let mut wrong = Vec::new();
        for (address, owners) in &mut self.owners {
            let is_new = owners
                .last_taken
                .is_some_and(|taken| world.now < taken + TAKEOVER_GRACE);
            let is_used = world.snapshot.addresses.contains_key(address);
            let Some(node) = owners.responder.filter(|_| is_used && !is_new) else {
                continue;
            };
            let takers = std::mem::take(&mut owners.takers);
            let moved = std::mem::take(&mut owners.moved);
            let stayed = owners.settled.replace(node) == Some(node) && !moved;
            if !stayed && !takers.contains(&node) {
                let takers: Vec<_> = takers.into_iter().map(name).collect();
                wrong.push(format!("{takers:?} took {address}, but {} answers for it", name(node)));
            }
        }
        wrong
    }
}

/// Within this time after a node was impaired, the others notice and take over.
const fn detection_window(cause: &OwnershipCause) -> Duration {
    match cause {
        OwnershipCause::SpeakerDown => Duration::from_secs(2),
        _ => Duration::from_millis(2500),
    }
}

/// Whether an address may move for this cause although all nodes are well.
const fn is_planned(cause: &OwnershipCause) -> bool {
    matches!(
        cause,
        OwnershipCause::Preferred
            | OwnershipCause::Hash
            | OwnershipCause::HandedOver
            | OwnershipCause::Ineligible(_)
            | OwnershipCause::Rebalanced
    )
}
