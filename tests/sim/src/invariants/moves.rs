//! Who takes what from whom: never for nothing, and never unsaid.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use lodestone_speaker::core::{Happening, speaker::Cause};

use crate::world::{Told, World};

/// Who took an address just now may not answer for it yet.
const JUST_NOW: Duration = Duration::from_secs(1);

/// What is known of an address.
#[derive(Debug, Default)]
struct Owners {
    /// Who was last the only one to answer for it.
    answering: Option<usize>,
    /// The same when all was last well.
    settled: Option<usize>,
    /// Who has taken it since.
    takers: BTreeSet<usize>,
    /// Whether one of them knew whom it took it from: who knows of no owner may have to leave it where it is.
    moved: bool,
    /// When it was last taken.
    taken: Option<Instant>,
}

/// The moves of all addresses.
#[derive(Debug)]
pub(super) struct Moves {
    /// When each node was last anything but well.
    unwell: BTreeMap<usize, Instant>,
    owners: BTreeMap<IpAddr, Owners>,
}

impl Moves {
    pub(super) const fn new() -> Self {
        Self {
            unwell: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    /// A node is not well.
    pub(super) fn unwell(&mut self, now: Instant, node: usize) {
        self.unwell.insert(node, now);
    }

    /// An address never moves without a reason. Gives back what is wrong.
    pub(super) fn hear(&mut self, world: &World, told: &Told) -> Option<String> {
        let Happening::Taken {
            address, from, cause, ..
        } = &told.happening
        else {
            return None;
        };
        let owners = self.owners.entry(*address).or_default();
        owners.takers.insert(told.node);
        owners.taken = Some(told.at);
        let from = from.as_ref()?;
        owners.moved = true;
        let from = world.nodes.iter().position(|node| node.name == *from)?;
        // Within this time whatever is the matter with a node is noticed.
        let noticed = match cause {
            Cause::SpeakerAway => Duration::from_secs(2),
            _ => Duration::from_millis(2500),
        };
        let unwell = |node: usize| {
            let last = self.unwell.get(&node);
            last.is_some_and(|last| world.now.saturating_duration_since(*last) < noticed)
        };
        let expected = matches!(
            cause,
            Cause::Preferred | Cause::Hash | Cause::HandedOver | Cause::Ineligible(_)
        );
        // One that is cut off itself may take the others for gone.
        if expected || unwell(from) || unwell(told.node) {
            return None;
        }
        let (to, from) = (&world.nodes[told.node].name, &world.nodes[from].name);
        Some(format!("{address} moved from {from} to {to} for nothing: {cause}"))
    }

    /// Sees who answers the client.
    pub(super) fn see(&mut self, world: &World) {
        for (address, macs) in &world.answers {
            let mut answering = macs.iter().filter_map(|mac| world.node_of(*mac));
            if let (Some(node), None) = (answering.next(), answering.next()) {
                self.owners.entry(*address).or_default().answering = Some(node);
            }
        }
    }

    /// All is well, and has been for a while: who took an address still has it, also when who had it before is back, and none has got one that
    /// it did not take. Gives back what is wrong.
    pub(super) fn settle(&mut self, world: &World) -> Vec<String> {
        let name = |node: usize| world.nodes[node].name.clone();
        let mut wrong = Vec::new();
        for (address, owners) in &mut self.owners {
            let just_now = owners.taken.is_some_and(|taken| world.now < taken + JUST_NOW);
            let used = world.facts.addresses.contains_key(address);
            let Some(node) = owners.answering.filter(|_| used && !just_now) else {
                continue;
            };
            let (takers, moved) = (std::mem::take(&mut owners.takers), std::mem::take(&mut owners.moved));
            let stayed = owners.settled.replace(node) == Some(node) && !moved;
            if !stayed && !takers.contains(&node) {
                let takers: Vec<_> = takers.into_iter().map(name).collect();
                wrong.push(format!("{address} was taken by {takers:?}, but is with {}", name(node)));
            }
        }
        wrong
    }
}
