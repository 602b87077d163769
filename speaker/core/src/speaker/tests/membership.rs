//! Nodes that leave the cluster, and messages that are not for this node.

use super::*;

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
