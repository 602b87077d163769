//! Addresses that move while the one before lives.

use super::*;
use crate::core::settings::Ownership;

#[test]
fn p5_a_claim_that_gets_lost_on_its_way_to_the_owner_before_is_soon_said_again() {
    let mut world = World::new(&["a", "b"], &[ADDRESS]);
    world.settings.ownership = Ownership::Hash;
    ["a", "b"].iter().for_each(|node| world.start(node));
    world.run(seconds(3));
    let first = world.owner(ADDRESS);
    world.running.remove(&first);
    world.run(seconds(3));
    let second = world.owner(ADDRESS);
    world.start(&first);
    world.run(seconds(1));
    assert_eq!(world.owner(ADDRESS), second);
    // It comes first, and takes the address back after a while.
    world.losing = Some(|message| matches!(message, Message::Claims { .. }));
    let limit = world.now + seconds(20);
    while !world.owners(ADDRESS).contains(&first) && world.now < limit {
        world.run(STEP);
    }
    assert_eq!(world.owners(ADDRESS).len(), 2, "the one before has not heard of it");
    world.losing = None;
    world.run(Duration::from_millis(150));
    assert_eq!(world.owner(ADDRESS), first);
}
