//! Nodes that leave the cluster, and messages that are not for this node.

use super::*;
use crate::{event::OwnershipCause, ineligibility::IneligibilityReason};

#[test]
fn removed_node_is_forgotten_and_may_return_under_the_same_name() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let removed = world.owner(ADDRESS);
    world.kill(&removed);
    world.run(seconds(5));
    let knows = |speaker: &Speaker| {
        let mut known = speaker.liveness.peers().conclusions();
        known.any(|(node, _)| *node == removed)
    };
    assert!(world.speakers.values().all(knows));
    let node = world.snapshot.nodes.remove(&removed).unwrap();
    world.publish_snapshot();
    world.run(seconds(1));
    assert!(!world.speakers.values().any(knows));
    world.snapshot.nodes.insert(removed.clone(), node);
    world.publish_snapshot();
    world.start(&removed);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.kill(&owner);
    world.run(seconds(3));
    world.owner(ADDRESS);
}

#[test]
fn messages_for_another_node_are_ignored() {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    let claims = vec![Claim {
        address: ip(ADDRESS),
        epoch: Epoch(9),
        tentative: false,
    }];
    let datagram = Datagram {
        from: "b".into(),
        to: "c".into(),
        boot: BootId(1),
        sequence: 1,
        message: Message::YourClaims(claims),
    };
    let now = world.now;
    let speaker = world.speaker(&"a".into());
    speaker.handle_datagram(now, ip("10.0.0.2"), datagram);
    assert!(speaker.ownership.claims().get(ip(ADDRESS)).is_none());
}

/// A cluster that has settled, and the owner of the address.
fn settled() -> (VirtualCluster, NodeName) {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    (world, owner)
}

/// Lets time pass in which the address is always answered.
fn run_answered(world: &mut VirtualCluster, time: Duration) {
    let end = world.now + time;
    while world.now < end {
        world.run(STEP);
        assert!(!world.macs(ADDRESS).is_empty(), "nobody answers");
    }
}

#[test]
fn p4_node_whose_object_is_deleted_hands_over_within_seconds() {
    let (mut world, owner) = settled();
    world.snapshot.nodes.remove(&owner);
    world.publish_snapshot();
    run_answered(&mut world, seconds(5));
    let next = world.owner(ADDRESS);
    assert_ne!(next, owner);
    let taken = world.speakers[&next].ownership.taken(ip(ADDRESS)).unwrap();
    assert_eq!(
        taken.cause,
        OwnershipCause::Ineligible(IneligibilityReason::NodeDeleted)
    );
    assert_eq!(taken.from, Some(owner));
}

#[test]
fn p3_node_whose_object_is_missing_for_a_second_keeps_its_addresses() {
    let (mut world, owner) = settled();
    let node = world.snapshot.nodes.remove(&owner).unwrap();
    world.publish_snapshot();
    run_answered(&mut world, seconds(1));
    world.snapshot.nodes.insert(owner.clone(), node);
    world.publish_snapshot();
    run_answered(&mut world, seconds(10));
    assert_eq!(world.owner(ADDRESS), owner);
}

#[test]
fn p4_speaker_of_a_deleted_node_hands_over_when_it_shuts_down() {
    let (mut world, owner) = settled();
    world.snapshot.nodes.remove(&owner);
    world.publish_snapshot();
    let now = world.now;
    world.speaker(&owner).begin_shutdown(now);
    run_answered(&mut world, STEP * 2);
    assert_ne!(world.owner(ADDRESS), owner);
    assert!(world.speaker(&owner).may_stop());
}

#[test]
fn p7_deleted_node_that_nobody_can_replace_goes_on_announcing() {
    let (mut world, owner) = settled();
    world.snapshot = with_local_endpoints(&world.snapshot, &[&owner]);
    world.snapshot.nodes.remove(&owner);
    world.publish_snapshot();
    run_answered(&mut world, seconds(60));
    assert_eq!(world.owner(ADDRESS), owner);
}
