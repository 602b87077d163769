//! An owner that loses its link to the LAN.

use std::time::Duration;

use super::{SETTLED, first_owner, spec};
use crate::{Invariants, World, WorldSpec};

/// Repeated losses of carrier are not a contention between owners, so nobody backs off.
#[test]
fn p1_carrier_loss_moves_the_address_at_once_however_often() {
    let mut world = World::new(WorldSpec {
        split: true,
        ..spec(4, 2, 5)
    });
    let mut invariants = Invariants::new(world.now);
    invariants.watch(&mut world, SETTLED);
    invariants.max_outage = Duration::from_millis(100);
    for round in 0..30 {
        let owner = first_owner(&world);
        invariants.note_impaired(world.now, owner);
        world.set_carrier(owner, false);
        invariants.watch(&mut world, Duration::from_millis(2000 + round * 100));
        let violations = invariants.violations();
        assert!(violations.is_empty(), "round {round}: {violations:?}");
        world.set_carrier(owner, true);
        invariants.watch(&mut world, SETTLED);
    }
}

/// The isolated owner has learned a long timeout for one peer, because that peer stalled. Until
/// the timeout ends, the other peers are failed and this one is not.
#[test]
fn p5_isolated_owner_takes_nothing_back_while_one_peer_is_not_failed() {
    const NODES: usize = 6;
    for seed in 0..60 {
        let mut world = World::new(WorldSpec {
            split: true,
            ..spec(NODES, 2, seed)
        });
        world.run(SETTLED);
        let owner = first_owner(&world);
        // For a while, nobody can tell stalls of a node from loss.
        for _ in 0..2 {
            world.stall((owner + 1) % NODES, Duration::from_millis(350));
            world.run(Duration::from_secs(2));
        }
        world.observed.clear();
        world.nodes[owner].lan_part = 1;
        // The owner has never seen a host that it could ask. It concludes within this second that
        // it is isolated, from the silence alone.
        world.run(Duration::from_secs(1));
        let by_others = world.takeovers(|node| node != owner);
        assert!(!by_others.is_empty(), "seed {seed}: nobody took over its addresses");
        let by_owner = world.takeovers(|node| node == owner);
        assert!(by_owner.is_empty(), "seed {seed}: {by_owner:?}");
    }
}
