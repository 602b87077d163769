//! Hosts that are none of the cluster's and use an address of it (promise P5, RFC 5227).

use super::*;
use crate::settings::DeputyMode;

const FOREIGN: MacAddr = MacAddr(2, 0xf, 0, 0, 0, 1);

fn taken(caretaker: DeputyMode) -> World {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.settings.deputy = caretaker;
    world.foreign = Some((ADDRESS.parse().unwrap(), FOREIGN));
    ["a", "b", "c"].iter().for_each(|node| world.start(node));
    world.run(seconds(3));
    world
}

/// Whoever answers, with whatever MAC.
fn answering(world: &World) -> Vec<String> {
    let answers =
        |speaker: &Speaker| (1..9).any(|interface| speaker.answers_for(interface, ADDRESS.parse().unwrap()).is_some());
    let running = world.running.iter().filter(|(_, speaker)| answers(speaker));
    running.map(|(node, _)| node.clone()).collect()
}

fn holder(world: &World) -> String {
    let mut holders = world
        .running
        .values()
        .map(|speaker| speaker.holder_of(ADDRESS.parse().unwrap()));
    holders.next().flatten().unwrap().to_string()
}

#[test]
fn p5_what_a_foreign_host_has_nobody_answers_for_not_even_in_place_of_its_owner() {
    for caretaker in [DeputyMode::OnSuspect, DeputyMode::Always, DeputyMode::Off] {
        let mut world = taken(caretaker);
        assert_eq!(answering(&world), Vec::<String>::new(), "{caretaker:?}");
        let owner = holder(&world);
        // It dies, and whoever is the next finds the foreign host, too.
        world.running.remove(&owner);
        for _ in 0..300 {
            world.run(STEP * 10);
            assert_eq!(answering(&world), Vec::<String>::new(), "{caretaker:?}");
        }
        assert_ne!(holder(&world), owner);
        // When the foreign host is gone the address is announced after all.
        world.foreign = None;
        world.run(seconds(15));
        world.owner(ADDRESS);
    }
}

#[test]
fn p5_one_that_is_restarted_while_a_foreign_host_has_its_address_asks_again() {
    let mut world = taken(DeputyMode::OnSuspect);
    let owner = holder(&world);
    world.running.remove(&owner);
    world.run(STEP * 5);
    world.start(&owner);
    for _ in 0..50 {
        world.run(STEP * 10);
        assert_eq!(answering(&world), Vec::<String>::new());
    }
    assert_eq!(holder(&world), owner);
}

#[test]
fn p5_one_that_ends_does_not_wait_for_others_to_answer_for_what_a_foreign_host_has() {
    let mut world = taken(DeputyMode::OnSuspect);
    let (owner, now) = (holder(&world), world.now);
    world.running.get_mut(&owner).unwrap().begin_shutdown(now);
    assert!(world.running[&owner].may_stop());
}

#[test]
fn p5_what_is_ours_is_known_to_be_so_by_all() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let address = ADDRESS.parse().unwrap();
    let known = |speaker: &Speaker| speaker.claims.holder(address).is_some_and(|holder| !holder.held_back);
    assert!(world.running.values().all(known));
}
