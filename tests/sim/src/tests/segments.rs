//! Nodes with more than one interface: devices that lead nowhere, networks that fail by themselves,
//! two ports on one segment.

use std::time::Duration;

use super::{SETTLED, any_node, first_owner, spec};
use crate::{ExtraInterface, Invariants, World, WorldSpec};

/// A device that has one name on all nodes shares nothing: its silence is no sign of death.
#[test]
fn p2_dead_speaker_beside_an_overlay_device_moves_nothing() {
    for (seed, nodes, split) in [(0, 3, false), (1, 2, false), (2, 3, true)] {
        let mut world = World::new(WorldSpec {
            extra: ExtraInterface::Overlay,
            split,
            ..spec(nodes, 6, seed)
        });
        world.run(SETTLED);
        for node in 0..nodes {
            world.observed.clear();
            world.kill(node);
            world.run(Duration::from_secs(10));
            world.start(node);
            world.run(Duration::from_secs(5));
            let moves = world.takeovers(any_node);
            assert!(moves.is_empty(), "seed {seed}: {moves:?}");
        }
    }
}

/// With only one other node left, an overlay device must not make a node take itself for isolated.
#[test]
fn p1_survivor_of_two_with_an_overlay_device_takes_over() {
    let mut world = World::new(WorldSpec {
        extra: ExtraInterface::Overlay,
        ..spec(2, 2, 7)
    });
    let mut invariants = Invariants::new(world.now);
    invariants.watch(&mut world, SETTLED);
    let owner = first_owner(&world);
    invariants.note_impaired(world.now, owner);
    world.power_off(owner);
    invariants.watch(&mut world, Duration::from_secs(5));
    let violations = invariants.violations();
    assert!(violations.is_empty(), "{violations:?}");
}
