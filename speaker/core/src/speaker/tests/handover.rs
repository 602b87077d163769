//! Addresses that move while the one before lives.

use super::*;
use crate::settings::{DeputyMode, OwnershipMode};

/// The node that the address goes back to, when it may, and the one that owns it; the first of them has just returned.
fn returned(world: &mut World) -> (String, String) {
    world.settings.ownership = OwnershipMode::Hash;
    let nodes: Vec<String> = world.running.keys().cloned().collect();
    nodes.iter().for_each(|node| world.start(node));
    world.run(seconds(3));
    let first = world.owner(ADDRESS);
    world.running.remove(&first);
    world.run(seconds(3));
    let second = world.owner(ADDRESS);
    world.start(&first);
    world.run(seconds(1));
    assert_eq!(world.owner(ADDRESS), second);
    (first, second)
}

/// Until `node`, which comes first, has taken the address back.
fn until_taken_back(world: &mut World, node: &String) {
    let limit = world.now + seconds(20);
    while !world.owners(ADDRESS).contains(node) && world.now < limit {
        world.run(STEP);
    }
}

#[test]
fn p5_a_claim_that_gets_lost_on_its_way_to_the_owner_before_is_soon_said_again() {
    let mut world = World::new(&["a", "b"], &[ADDRESS]);
    let (first, _) = returned(&mut world);
    world.losing = Some(Box::new(|_, message| matches!(message, Message::Claims { .. })));
    until_taken_back(&mut world, &first);
    assert_eq!(world.owners(ADDRESS).len(), 2, "the one before has not heard of it");
    world.losing = None;
    world.run(Duration::from_millis(150));
    assert_eq!(world.owner(ADDRESS), first);
}

#[test]
fn p5_a_claim_is_said_again_until_the_owner_before_has_yielded_not_somebody_else() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    let (first, second) = returned(&mut world);
    let third = ["a", "b", "c"]
        .into_iter()
        .find(|node| **node != first && **node != second);
    world.losing = Some(Box::new(|_, message| matches!(message, Message::Claims { .. })));
    until_taken_back(&mut world, &first);
    assert_eq!(world.owners(ADDRESS).len(), 2, "the one before has not heard of it");
    world.losing = None;
    world.say(third.unwrap(), &first, Message::Yielded(vec![ADDRESS.parse().unwrap()]));
    world.run(Duration::from_millis(150));
    assert_eq!(world.owner(ADDRESS), first);
}

#[test]
fn p5_whoever_always_answers_in_place_of_the_owner_before_learns_of_the_new_one_though_two_messages_get_lost() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.settings.deputy = DeputyMode::Always;
    let (first, second) = returned(&mut world);
    let third = ["a", "b", "c"]
        .into_iter()
        .find(|node| **node != first && **node != second);
    let third = third.unwrap();
    // It has not heard yet that the first may own it again, and so it is the one that answers in place of the second.
    let mut behind = world.facts.clone();
    let tenant = tenant(&mut behind);
    tenant.local = true;
    tenant.endpoints = Arc::new(Endpoints {
        nodes: BTreeSet::from([third.into(), second.as_str().into()]),
        ..Endpoints::default()
    });
    world
        .running
        .get_mut(third)
        .unwrap()
        .handle_snapshot(world.now, Arc::new(behind));
    let stands_in = |world: &World| {
        let speaker = &world.running[third];
        let stood_in = speaker.stood_in.get(&ADDRESS.parse::<IpAddr>().unwrap());
        stood_in.is_some_and(|stood_in| *stood_in.owner == *second)
    };
    let to = third.to_owned();
    world.losing = Some(Box::new(move |node, message| {
        node == to && matches!(message, Message::Claims { .. } | Message::Others(_))
    }));
    until_taken_back(&mut world, &first);
    world.run(STEP);
    assert_eq!(world.owners(ADDRESS), [first], "the one before has heard of it");
    assert!(stands_in(&world), "the third has not");
    world.losing = None;
    world.run(Duration::from_millis(150));
    assert!(!stands_in(&world));
}
