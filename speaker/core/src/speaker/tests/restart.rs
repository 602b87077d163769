//! Speakers that restart.

use super::*;

#[test]
fn p2_quickly_restarted_owner_resumes_at_once() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.kill(&owner);
    // The other speakers have not declared it failed yet.
    world.run(Duration::from_millis(150));
    world.start(&owner);
    world.run(Duration::from_millis(50));
    assert_eq!(world.owner(ADDRESS), owner, "the other speakers sent it its claims");
    world.run(seconds(20));
    assert_eq!(world.owner(ADDRESS), owner);
    let mut reports = world.reports.iter();
    assert!(!reports.any(|(node, count)| *node != owner && *count > 0));
}

#[test]
fn speaker_whose_clock_moved_backwards_is_heard() {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    world.boots.values_mut().for_each(|boot| *boot = BootId(1000));
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.kill(&owner);
    world.boots.insert(owner.clone(), BootId(1));
    world.start(&owner);
    world.run(seconds(5));
    world.owner(ADDRESS);
    let alive = |node: &str| world.speakers[node].debug_state(world.now).peers_heard.len();
    assert_eq!((alive("a"), alive("b")), (1, 1));
}

#[test]
fn p2_restarted_owner_is_reminded_again_of_what_it_owned() {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.kill(&owner);
    world.run(Duration::from_millis(150));
    let lost = std::cell::Cell::new(false);
    world.loss = Some(Box::new(move |_, message| {
        matches!(message, Message::YourClaims(_)) && !lost.replace(true)
    }));
    world.start(&owner);
    world.run(Duration::from_millis(50));
    assert_eq!(world.owner(ADDRESS), owner, "the first reminder is lost");
}
