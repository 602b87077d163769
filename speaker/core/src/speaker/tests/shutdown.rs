//! Speakers that shut down.

use super::*;

#[test]
fn p2_deputy_covers_a_speaker_that_shuts_down_and_nothing_moves() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let (owner, now) = (world.owner(ADDRESS), world.now);
    let speaker = world.speaker(&owner);
    let mac = speaker.node.ports().next().unwrap().mac;
    speaker.begin_shutdown(now);
    assert!(!speaker.may_stop());
    world.run(STEP * 2);
    assert!(world.speaker(&owner).may_stop());
    world.kill(&owner);
    let answers = |world: &VirtualCluster| -> Vec<MacAddr> {
        let nodes = world.speakers.keys();
        let macs = nodes.filter_map(|node| Some(world.answers(node, ADDRESS).first()?.1));
        macs.collect()
    };
    assert_eq!(answers(&world), [mac]);
    world.start(&owner);
    world.run(seconds(3));
    assert_eq!(world.owner(ADDRESS), owner);
    assert_eq!(answers(&world), [mac]);
}

#[test]
fn p4_drained_owner_that_shuts_down_answers_until_another_node_does() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(ADDRESS);
    world.snapshot.nodes.get_mut(&owner).unwrap().draining = true;
    world.publish_snapshot();
    world.run(seconds(1));
    assert_eq!(world.owner(ADDRESS), owner, "a cordon alone moves nothing");
    let now = world.now;
    world.speaker(&owner).begin_shutdown(now);
    assert_eq!(world.owner(ADDRESS), owner);
    world.run(STEP * 2);
    assert_ne!(world.owner(ADDRESS), owner);
    assert!(world.speaker(&owner).may_stop());
}

#[test]
fn p4_speaker_with_a_down_limit_of_zero_hands_over_when_it_stops() {
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS]);
    world.settings.speaker_down_limit = Duration::ZERO;
    world.restart_all();
    world.run(seconds(3));
    let (owner, now) = (world.owner(ADDRESS), world.now);
    world.speaker(&owner).begin_shutdown(now);
    assert_eq!(world.owner(ADDRESS), owner);
    world.run(STEP * 2);
    assert_ne!(world.owner(ADDRESS), owner);
    assert!(world.speaker(&owner).may_stop());
}
