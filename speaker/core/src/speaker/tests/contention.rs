//! Speakers that do not hear each other, or have heard different things.

use super::*;

#[test]
fn p5_after_a_partition_one_owner_is_left_at_once() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS, "192.0.2.2", "192.0.2.3"]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.cut = BTreeSet::from([owner]);
    world.run(seconds(4));
    assert_eq!(world.owners(ADDRESS).len(), 2, "each side has an owner");
    world.cut.clear();
    world.run(Duration::from_millis(200) + HEARTBEAT);
    for address in [ADDRESS, "192.0.2.2", "192.0.2.3"] {
        world.owner(address);
    }
}

#[test]
fn p5_two_that_disagree_on_who_may_own_an_address_do_not_outbid_each_other_for_ever() {
    let mut world = World::new(&["a", "b"], &[ADDRESS]);
    world.run(seconds(3));
    // Local traffic only, and each has heard of the endpoint on its own node only.
    for node in ["a", "b"] {
        let mut facts = world.facts.clone();
        let tenant = tenant(&mut facts);
        tenant.local = true;
        tenant.endpoints = Arc::new(Endpoints {
            nodes: BTreeSet::from([node.into()]),
            ..Endpoints::default()
        });
        world
            .running
            .get_mut(node)
            .unwrap()
            .handle_snapshot(world.now, Arc::new(facts));
    }
    let before = world.history.len();
    world.run(seconds(60));
    assert!(
        world.history.len() - before < 40,
        "{} changes of owner in a minute",
        (world.history.len() - before) / 2
    );
    assert_eq!(world.owners(ADDRESS).len(), 1);
}

#[test]
fn p5_where_only_one_hears_the_other_one_owner_is_left() {
    let mut world = World::new(&["a", "b"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let other = if owner == "a" { "b" } else { "a" };
    world.deaf.insert((owner.clone(), other.to_owned()));
    world.run(seconds(10));
    assert_eq!(
        world.owner(ADDRESS),
        other,
        "it took over, and the one that hears it steps down"
    );
}

#[test]
fn p5_where_two_of_three_do_not_hear_each_other_the_third_settles_it() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let other = ["a", "b", "c"].into_iter().find(|node| *node != owner).unwrap();
    world.deaf.insert((owner.clone(), other.to_owned()));
    world.deaf.insert((other.to_owned(), owner.clone()));
    world.run(seconds(30));
    world.owner(ADDRESS);
}

#[test]
fn p6_an_owner_that_sees_no_endpoint_where_others_do_is_replaced() {
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let mut behind = world.facts.clone();
    tenant(&mut behind).endpoints = elsewhere(false);
    world
        .running
        .get_mut(&owner)
        .unwrap()
        .handle_snapshot(world.now, Arc::new(behind));
    assert_eq!(world.owners(ADDRESS), Vec::<String>::new());
    world.run(seconds(10));
    assert_ne!(world.owner(ADDRESS), owner);
}
