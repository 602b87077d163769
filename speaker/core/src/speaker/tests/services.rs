//! The Services on an address.

use super::*;

#[test]
fn p6_owner_falls_silent_without_endpoints_and_resumes_with_them() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    let endpoints = service(&mut world.snapshot).endpoints.clone();
    service(&mut world.snapshot).endpoints = Arc::default();
    world.publish_snapshot();
    assert_eq!(world.owners(ADDRESS), NOBODY);
    world.run(seconds(30));
    service(&mut world.snapshot).endpoints = endpoints;
    world.publish_snapshot();
    world.run(seconds(1));
    assert_eq!(world.owner(ADDRESS), owner);
}

#[test]
fn owners_of_the_two_addresses_of_a_service_know_each_other() {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS, IPV6_ADDRESS]);
    let dual_stack = ObjectKey::new("n", "dual");
    for services in world.snapshot.addresses.values_mut() {
        Arc::make_mut(services)[0].service = dual_stack.clone();
    }
    world.publish_snapshot();
    world.run(seconds(3));
    // The fair share of each node is one address.
    let (v4, v6) = (world.owner(ADDRESS), world.owner(IPV6_ADDRESS));
    assert_ne!(v4, v6);
    let co_owners = |node: &NodeName, address| {
        let owned = world.speakers[node].lan.owned();
        owned[&ip(address)].owned.co_owners.clone()
    };
    assert_eq!(co_owners(&v4, ADDRESS), BTreeSet::from([v6.clone()]));
    assert_eq!(co_owners(&v6, IPV6_ADDRESS), BTreeSet::from([v4.clone()]));
    world.kill(&v6);
    world.run(seconds(5));
    let owned = world.speakers[&v4].lan.owned().values();
    let co_owners: Vec<usize> = owned.map(|announcement| announcement.owned.co_owners.len()).collect();
    assert_eq!(co_owners, [0, 0]);
}

/// The owner learns first that the Service has no endpoint, and releases the address. All other
/// nodes still count on it.
fn released_while(lost: impl Fn(&Message) -> bool + 'static) -> (VirtualCluster, NodeName) {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.loss = Some(Box::new(move |_, message| lost(message)));
    let mut without_endpoints = world.snapshot.clone();
    service(&mut without_endpoints).endpoints = Arc::default();
    world.publish_to(&owner, without_endpoints);
    world.run(STEP);
    world.loss = None;
    (world, owner)
}

#[test]
fn p6_lost_release_is_soon_repeated() {
    let (mut world, owner) = released_while(|message| matches!(message, Message::Released(_)));
    assert_eq!(world.owners(ADDRESS), NOBODY);
    world.run(Duration::from_millis(700));
    assert_ne!(world.owner(ADDRESS), owner);
}

#[test]
fn p6_release_that_was_lost_every_time_comes_with_the_next_anti_entropy() {
    let (mut world, owner) = released_while(|message| matches!(message, Message::Released(_)));
    world.loss = Some(Box::new(|_, message| matches!(message, Message::Released(_))));
    world.run(seconds(1));
    assert_eq!(world.owners(ADDRESS), NOBODY);
    world.loss = None;
    world.run(seconds(3));
    assert_ne!(world.owner(ADDRESS), owner);
}

/// The claim for the next Service is tentative for a moment. The others must learn when that ends.
#[test]
fn p2_deputy_answers_for_an_address_that_another_service_had_before() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let first = world.owner(ADDRESS);
    world.kill(&first);
    world.run(seconds(70));
    let second = world.owner(ADDRESS);
    assert_ne!(second, first);
    let services = std::mem::take(&mut world.snapshot.addresses);
    world.publish_snapshot();
    world.run(seconds(5));
    world.snapshot.addresses = services;
    world.publish_snapshot();
    world.run(seconds(3));
    assert_eq!(world.owner(ADDRESS), second);
    let mac = world.mac(&second);
    world.kill(&second);
    world.run(seconds(1));
    assert_eq!(world.macs(ADDRESS), [mac].into());
}

#[test]
fn p1_address_of_a_recreated_service_is_announced_at_once() {
    let addresses: Vec<String> = (1..=12).map(|host| format!("192.0.2.{host}")).collect();
    let texts: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut world = VirtualCluster::new(&["a", "b", "c", "d"], &texts);
    world.run(seconds(3));
    // Addresses that moved: their owners are not the first by hash.
    world.kill(&"a".into());
    world.run(seconds(70));
    world.start(&"a".into());
    world.run(seconds(3));
    let before = world.snapshot.clone();
    world.snapshot.addresses.clear();
    world.publish_snapshot();
    world.run(seconds(1));
    world.snapshot = before;
    world.publish_snapshot();
    world.run(Duration::from_millis(100));
    for address in &addresses {
        world.owner(address);
    }
    // All nodes remember one epoch for each, so a takeover prevails.
    let epoch = |node: &str, address: &str| {
        let speaker = &world.speakers[&NodeName::from(node)];
        speaker.ownership.claims().get(ip(address)).map(|record| record.epoch)
    };
    for address in &addresses {
        let epochs: BTreeSet<_> = ["a", "b", "c", "d"].map(|node| epoch(node, address)).into();
        assert_eq!(epochs.len(), 1, "{address}: {epochs:?}");
    }
}
