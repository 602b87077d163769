//! Addresses without an owner, and which node takes them.

use super::*;
use crate::sync::LISTEN;

#[test]
fn new_speakers_listen_before_one_takes_the_address() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    assert_eq!(world.owners(ADDRESS), NOBODY);
    world.run(seconds(5));
    world.owner(ADDRESS);
    assert!(world.frames >= 2 * 5, "a burst of gratuitous ARP: {}", world.frames);
}

#[test]
fn lone_speaker_takes_every_address_after_listening() {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    world.kill(&"b".into());
    world.run(LISTEN + STEP * 8);
    assert_eq!(world.owner(ADDRESS), "a".into());
}

#[test]
fn addresses_are_shared_out_fairly() {
    let addresses: Vec<String> = (1..=30).map(|host| format!("192.0.2.{host}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut world = VirtualCluster::new(&["a", "b", "c"], &addresses);
    world.run(seconds(5));
    let mut counts: BTreeMap<NodeName, usize> = BTreeMap::new();
    for address in addresses {
        *counts.entry(world.owner(address)).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 10), "{counts:?}");
}

#[test]
fn recorded_owner_keeps_its_address_when_all_speakers_restart() {
    for recorded in ["a", "b", "c"] {
        let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
        let service = ObjectKey::new("n", ADDRESS);
        world.snapshot.recorded.insert(service, [recorded.into()].into());
        world.restart_all();
        world.run(seconds(3));
        assert_eq!(world.owner(ADDRESS), recorded.into());
    }
}

#[test]
fn first_eligible_node_that_does_not_know_the_service_is_passed_over() {
    let mut reference = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    let with_service = reference.snapshot.clone();
    reference.run(seconds(3));
    let first = reference.owner(ADDRESS);
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[]);
    world.run(seconds(3));
    for (node, speaker) in &mut world.speakers {
        if *node != first {
            speaker.handle_snapshot(world.now, Arc::new(with_service.clone()));
        }
    }
    world.snapshot = with_service;
    world.run(seconds(2));
    let second = world.owner(ADDRESS);
    assert_ne!(second, first);
    world.publish_snapshot();
    world.run(seconds(10));
    assert_eq!(world.owner(ADDRESS), second);
}

#[test]
fn p3_joining_node_takes_nothing_from_an_owner_of_many_addresses() {
    let addresses: Vec<String> = (1..=150).map(|host| format!("192.0.2.{host}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut world = VirtualCluster::new(&["a", "b"], &addresses);
    world.kill(&"b".into());
    world.run(seconds(3));
    world.start(&"b".into());
    world.run(seconds(10));
    assert!(addresses.iter().all(|address| world.owner(address) == "a".into()));
}

#[test]
fn p3_failed_owner_is_replaced_and_takes_nothing_back() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let first = world.owner(ADDRESS);
    world.kill(&first);
    world.run(seconds(3));
    let second = world.owner(ADDRESS);
    assert_ne!(first, second);
    world.start(&first);
    world.run(seconds(20));
    assert_eq!(world.owner(ADDRESS), second);
}

#[test]
fn p1_next_eligible_node_takes_over_if_the_first_knows_no_service() {
    let mut reference = VirtualCluster::new(&["a", "b", "c", "d"], &[ADDRESS]);
    reference.run(seconds(3));
    let owner = reference.owner(ADDRESS);
    reference.kill(&owner);
    reference.run(seconds(3));
    let first = reference.owner(ADDRESS);
    let mut world = VirtualCluster::new(&["a", "b", "c", "d"], &[ADDRESS]);
    world.run(seconds(3));
    assert_eq!(world.owner(ADDRESS), owner);
    let mut without_service = world.snapshot.clone();
    without_service.addresses.clear();
    world.publish_to(&first, without_service);
    world.kill(&owner);
    world.run(seconds(2));
    world.owner(ADDRESS);
}
