//! Speakers that do not hear each other, or that know different things.

use super::*;

#[test]
fn p5_one_owner_remains_as_soon_as_a_partition_heals() {
    let addresses = [ADDRESS, "192.0.2.2", "192.0.2.3"];
    let mut world = VirtualCluster::new(&["a", "b", "c"], &addresses);
    world.run(seconds(3));
    world.partition = BTreeSet::from([world.owner(ADDRESS)]);
    world.run(seconds(4));
    assert_eq!(world.owners(ADDRESS).len(), 2, "each side has an owner");
    world.partition.clear();
    world.run(Duration::from_millis(200) + HEARTBEAT_INTERVAL);
    for address in addresses {
        world.owner(address);
    }
}

#[test]
fn p5_nodes_that_disagree_on_eligibility_back_off() {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    world.run(seconds(3));
    // Each node knows only of the endpoint on itself.
    for node in ["a".into(), "b".into()] {
        let snapshot = with_local_endpoints(&world.snapshot, &[&node]);
        world.publish_to(&node, snapshot);
    }
    let before = world.reports.len();
    world.run(seconds(60));
    let reports = world.reports.len() - before;
    assert!(reports < 40, "{} changes of owner in a minute", reports / 2);
    assert_eq!(world.owners(ADDRESS).len(), 1);
}

#[test]
fn p5_one_owner_remains_if_only_one_node_hears_the_other() {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let other = world.other_than(&[&owner]);
    world.cut_links.insert((owner, other.clone()));
    world.run(seconds(10));
    assert_eq!(
        world.owner(ADDRESS),
        other,
        "the node that hears nothing takes over, and the former owner yields"
    );
}

#[test]
fn p5_one_owner_remains_if_two_of_three_do_not_hear_each_other() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let other = world.other_than(&[&owner]);
    world.cut_links.insert((owner.clone(), other.clone()));
    world.cut_links.insert((other, owner));
    world.run(seconds(30));
    world.owner(ADDRESS);
}

#[test]
fn p6_owner_that_misses_an_endpoint_is_replaced() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let mut without_endpoints = world.snapshot.clone();
    service(&mut without_endpoints).endpoints = Arc::default();
    world.publish_to(&owner, without_endpoints);
    assert_eq!(world.owners(ADDRESS), NOBODY);
    world.run(seconds(10));
    assert_ne!(world.owner(ADDRESS), owner);
}
