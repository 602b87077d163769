//! What the speakers must withstand. `make sim-long` plays more seeds and longer times.

mod interruptions;
mod loss;
mod regressions;
mod restarts;
mod seeds;
mod segments;
mod traffic;

use std::time::Duration;

use lodestone_speaker_core::Settings;

use crate::{ExtraInterface, World, WorldSpec};

/// Time after which a new world is settled: every address has an owner, and all peers are known.
const SETTLED: Duration = Duration::from_secs(4);

/// Returns a flat cluster with default settings.
fn spec(nodes: usize, addresses: usize, seed: u64) -> WorldSpec {
    WorldSpec {
        seed,
        nodes,
        addresses,
        split: false,
        extra: ExtraInterface::None,
        quiet: false,
        older: 0,
        settings: Settings::default(),
    }
}

/// Returns the index of the owner of the first address.
fn first_owner(world: &World) -> usize {
    let mac = world.client.neighbours.values().next();
    mac.and_then(|mac| world.node_with_mac(*mac))
        .expect("the first address has an owner")
}

fn any_node(_: usize) -> bool {
    true
}
