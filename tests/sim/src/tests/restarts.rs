//! Speakers that restart, crash or freeze move no address (promise P2).

use std::{net::IpAddr, time::Duration};

use super::{SETTLED, any_node, spec};
use crate::{Invariants, World};

fn may_stop(world: &World, node: usize) -> bool {
    let speaker = world.nodes[node].speaker.as_ref();
    speaker.is_some_and(|speaker| speaker.may_stop())
}

/// While a speaker is away and its node lives, deputies answer with the node's MAC.
#[test]
fn p2_speaker_restart_moves_no_address() {
    for seed in 0..20 {
        let mut world = World::new(spec(3, 6, seed));
        let mut invariants = Invariants::new(world.now);
        invariants.watch(&mut world, SETTLED);
        let before = world.client.neighbours.clone();
        for node in 0..3 {
            world.begin_shutdown(node);
            world.run(Duration::from_millis(50));
            assert!(may_stop(&world, node), "seed {seed}");
            world.kill(node);
            invariants.watch(&mut world, Duration::from_secs(3));
            // A client with an empty neighbour table finds the same owner.
            world.client.neighbours.clear();
            invariants.watch(&mut world, Duration::from_millis(500));
            assert_eq!(world.client.neighbours, before, "seed {seed}");
            world.start(node);
            invariants.watch(&mut world, Duration::from_secs(3));
        }
        let violations = invariants.violations();
        assert!(violations.is_empty(), "seed {seed}: {violations:?}");
        assert_eq!(world.client.neighbours, before, "seed {seed}");
    }
}

/// Sends a request for each address every two milliseconds. Each must be answered with the MAC
/// that the client knows already.
fn assert_every_request_answered(world: &mut World, time: Duration) {
    let addresses: Vec<IpAddr> = world.snapshot.addresses.keys().copied().collect();
    let end = world.now + time;
    while world.now < end {
        let before = world.client.neighbours.clone();
        for address in &addresses {
            world.send_client_request(*address);
        }
        world.run(Duration::from_millis(2));
        for address in &addresses {
            let answers = world.client.answers.get(address).cloned().unwrap_or_default();
            assert_eq!(answers, [before[address]].into(), "{address} at {:?}", world.elapsed());
        }
    }
}

/// Before a speaker exits, its deputies already answer. They go on until it is back.
#[test]
fn p2_speaker_shutdown_leaves_no_request_unanswered() {
    for seed in 0..20 {
        println!("seed {seed}");
        let mut world = World::new(spec(3, 3, seed));
        world.run(SETTLED);
        for node in 0..3 {
            world.begin_shutdown(node);
            // The process may live on for a while, and answer too.
            assert_every_request_answered(&mut world, Duration::from_millis(10 + seed * 10));
            assert!(may_stop(&world, node), "seed {seed}");
            world.kill(node);
            assert_every_request_answered(&mut world, Duration::from_millis(1500));
            world.start(node);
            assert_every_request_answered(&mut world, Duration::from_secs(2));
        }
    }
}

/// A speaker that starts learns from the others what an absent speaker owns.
#[test]
fn p2_starting_speaker_takes_nothing_from_a_speaker_that_is_away() {
    for seed in 0..30 {
        let mut world = World::new(spec(5, 5, seed));
        world.run(SETTLED);
        world.observed.clear();
        let first = usize::try_from(seed % 5).unwrap();
        let second = (first + 1 + usize::try_from(seed / 5 % 4).unwrap()) % 5;
        world.kill(first);
        world.run(Duration::from_millis(700));
        world.kill(second);
        world.run(Duration::from_millis(700));
        world.start(second);
        // In the second half of the seeds, both start at about the same time.
        world.run(Duration::from_millis(if seed < 15 { 8000 } else { 10 * seed }));
        world.start(first);
        world.run(Duration::from_secs(10));
        let takeovers = world.takeovers(any_node);
        assert!(takeovers.is_empty(), "seed {seed}: {takeovers:#?}");
    }
}

/// Two speakers freeze, are killed and start again in turn, in quick succession.
#[test]
fn p2_speakers_killed_one_after_another_move_no_address() {
    for seed in 0..60 {
        let mut world = World::new(spec(6, 4, seed));
        world.run(SETTLED);
        world.observed.clear();
        let pause = |factor: u64| Duration::from_millis(200 + seed * factor % 2900);
        for round in 0..4 {
            let node = (usize::try_from(seed).unwrap() * 7 % 6 + round % 2) % 6;
            world.nodes[node].frozen = true;
            world.run(pause(131));
            world.kill(node);
            world.run(pause(57));
            world.start(node);
            world.run(pause(211));
        }
        world.run(Duration::from_secs(70));
        let takeovers = world.takeovers(any_node);
        assert!(takeovers.is_empty(), "seed {seed}: {takeovers:#?}");
    }
}
