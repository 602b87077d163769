//! Nodes with more than one interface: devices that lead nowhere, networks that fail by themselves,
//! two ports on one segment.

use std::time::Duration;

use lodestone_speaker_core::{DeputyMode, Settings};

use super::{SETTLED, any_node, first_owner, spec};
use crate::{ExtraInterface, Invariants, World, WorldSpec};

/// Impairs the owner of the first address for five seconds, and watches five seconds more.
fn impair_owner(world: &mut World, invariants: &mut Invariants, impair: impl Fn(&mut World, usize, bool)) {
    let owner = first_owner(world);
    invariants.note_impaired(world.now, owner);
    for is_impaired in [true, false] {
        impair(world, owner, is_impaired);
        invariants.watch(world, Duration::from_secs(5));
    }
}

fn conclude(mut invariants: Invariants, world: &mut World, seed: u64) {
    invariants.conclude(world);
    let violations = invariants.violations();
    assert!(violations.is_empty(), "seed {seed}: {violations:?}");
}

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

/// A second network goes on while the owner's port on the LAN forwards nothing, with its carrier
/// up. The owner is heard all the time, and still its addresses are dead.
#[test]
fn p1_port_that_forwards_nothing_beside_a_second_network_is_replaced() {
    for (seed, nodes, split) in [(0, 3, false), (1, 2, false), (2, 4, true), (3, 12, false)] {
        let mut world = World::new(WorldSpec {
            extra: ExtraInterface::Storage,
            split,
            ..spec(nodes, 6, seed)
        });
        let mut invariants = Invariants::new(world.now);
        invariants.watch(&mut world, SETTLED);
        for _ in 0..3 {
            impair_owner(&mut world, &mut invariants, |world, owner, is_impaired| {
                world.nodes[owner].lan_part = u8::from(is_impaired);
            });
        }
        conclude(invariants, &mut world, seed);
    }
}

/// The second network fails instead: the addresses are on the LAN, and nothing happens to them.
#[test]
fn p3_second_network_that_fails_moves_no_address_of_the_lan() {
    let mut world = World::new(WorldSpec {
        extra: ExtraInterface::Storage,
        ..spec(3, 2, 0)
    });
    world.run(SETTLED);
    for node in 0..3 {
        world.observed.clear();
        world.nodes[node].storage_part = 1;
        world.run(Duration::from_secs(10));
        let moves = world.takeovers(any_node);
        assert!(moves.is_empty(), "{moves:?}");
        world.nodes[node].storage_part = 0;
        world.run(Duration::from_secs(5));
    }
}

/// Both ports have an address of the LAN. One MAC answers, also when the first port loses its
/// carrier, and when a deputy answers.
#[test]
fn p5_node_with_two_ports_on_the_lan_answers_with_one_mac() {
    for (seed, nodes, split, deputy) in [
        (0, 3, false, DeputyMode::OnSuspect),
        (1, 2, true, DeputyMode::OnSuspect),
        (2, 3, true, DeputyMode::OnSuspect),
        (3, 2, false, DeputyMode::Always),
    ] {
        let mut world = World::new(WorldSpec {
            extra: ExtraInterface::SecondPort,
            split,
            settings: Settings {
                deputy,
                ..Settings::default()
            },
            ..spec(nodes, 6, seed)
        });
        let mut invariants = Invariants::new(world.now);
        invariants.watch(&mut world, SETTLED);
        for _ in 0..3 {
            impair_owner(&mut world, &mut invariants, |world, owner, is_impaired| {
                world.set_carrier(owner, !is_impaired);
            });
            impair_owner(&mut world, &mut invariants, |world, owner, is_impaired| {
                if is_impaired {
                    world.kill(owner);
                } else {
                    world.start(owner);
                }
            });
        }
        conclude(invariants, &mut world, seed);
    }
}

/// A node that hears nothing on the LAN says so over the second network. The others then know more
/// than that they do not hear it.
#[test]
fn p1_node_cut_off_from_the_lan_says_so_over_a_second_network() {
    let mut world = World::new(WorldSpec {
        extra: ExtraInterface::Storage,
        ..spec(3, 2, 0)
    });
    world.run(SETTLED);
    let owner = first_owner(&world);
    let lists_carrier = |world: &World| {
        let other = world.nodes[(owner + 1) % 3].speaker.as_ref();
        let state = other.map_or_else(String::new, |speaker| speaker.debug_state(world.now));
        !state.contains(&format!(
            r#""{}":"the address is in no prefix"#,
            world.nodes[owner].name
        ))
    };
    assert!(lists_carrier(&world));
    world.nodes[owner].lan_part = 1;
    world.run(Duration::from_secs(2));
    assert!(!lists_carrier(&world));
    world.nodes[owner].lan_part = 0;
    world.run(Duration::from_secs(2));
    assert!(lists_carrier(&world));
}

/// An address in no prefix is on the node network, too, and moves when that fails for its owner.
/// The owner, which is not watched by all nodes, learns it over the LAN.
#[test]
fn p5_owner_cut_off_from_the_node_network_learns_of_a_takeover_by_lan() {
    let mut world = World::new(WorldSpec {
        split: true,
        ..spec(9, 6, 657)
    });
    let mut invariants = Invariants::new(world.now);
    invariants.watch(&mut world, SETTLED);
    for node in 0..9 {
        invariants.note_impaired(world.now, node);
        world.nodes[node].node_network_part = 1;
        invariants.watch(&mut world, Duration::from_secs(3));
        world.nodes[node].node_network_part = 0;
        invariants.watch(&mut world, Duration::from_secs(3));
    }
    let violations = invariants.violations();
    assert!(violations.is_empty(), "{violations:?}");
}
