//! The interfaces of a node, and what is asked on them.

use super::*;

#[test]
fn requests_to_another_host_and_on_other_interfaces_are_not_answered() {
    let mut world = World::new(&["a", "b"], &[ADDRESS]);
    world.running.remove("b");
    world.run(seconds(2));
    let now = world.now;
    let speaker = world.running.get_mut("a").unwrap();
    let mut answers = |interface, destination: MacAddr| {
        let asker = MacAddr::new(2, 9, 9, 9, 9, 9);
        let mut frame = arp::request(asker, "192.0.2.99".parse().unwrap(), ADDRESS.parse().unwrap());
        frame[..6].copy_from_slice(&<[u8; 6]>::from(destination));
        speaker.handle_frame(now, interface, FrameKind::Arp, &frame).is_some()
    };
    assert!(answers(1, MacAddr::broadcast()));
    assert!(answers(1, MacAddr::new(2, 0, 0, 0, 0, 1)));
    assert!(!answers(1, MacAddr::new(2, 0, 0, 0, 0, 7)));
    assert!(!answers(2, MacAddr::broadcast()));
}

#[test]
fn an_interface_that_goes_down_moves_the_address_and_one_that_comes_up_bursts() {
    let mut world = World::new(&["a", "b"], &[ADDRESS]);
    world.run(seconds(10));
    let owner = world.owner(ADDRESS);
    let index = if owner == "a" { 1 } else { 2 };
    let now = world.now;
    let up = ethernet(index, "eth0", &["192.0.2.250/24"]);
    let down = Interface {
        running: false,
        ..up.clone()
    };
    world
        .running
        .get_mut(&owner)
        .unwrap()
        .handle_interfaces(now, vec![down]);
    world.run(STEP * 2);
    let other = world.owner(ADDRESS);
    assert_ne!(other, owner);
    world.run(seconds(10));
    let (before, now) = (world.frames, world.now);
    let mac = Some(MacAddr::new(2, 7, 7, 7, 7, 7));
    let changed = Interface {
        mac,
        ..ethernet(if other == "a" { 1 } else { 2 }, "eth0", &["192.0.2.250/24"])
    };
    world
        .running
        .get_mut(&other)
        .unwrap()
        .handle_interfaces(now, vec![changed]);
    world.run(STEP * 2);
    assert_eq!(world.frames, before + 2);
}

#[test]
fn an_ipv6_address_has_one_owner_that_listens_to_its_group_and_another_when_that_dies() {
    const SIX: &str = "2001:db8::56";
    let group: Ipv6Addr = "ff02::1:ff00:56".parse().unwrap();
    let mut world = World::new(&["a", "b", "c"], &[ADDRESS, SIX]);
    world.run(seconds(3));
    let owner = world.owner(SIX);
    for (node, speaker) in &world.running {
        let listens = speaker.groups.iter().any(|(_, listened)| *listened == group);
        assert_eq!(listens, *node == owner, "{node}");
    }
    world.running.remove(&owner);
    world.run(seconds(5));
    assert_ne!(world.owner(SIX), owner);
}

#[test]
fn a_solicitation_is_answered_when_it_came_to_a_group_or_to_us() {
    let mut world = World::new(&["a"], &["2001:db8::1"]);
    world.run(seconds(3));
    let now = world.now;
    let speaker = world.running.get_mut("a").unwrap();
    let mut answers = |interface, destination: MacAddr| {
        let asker = MacAddr::new(2, 9, 9, 9, 9, 9);
        let mut frame = ndp::solicit(asker, Some("fe80::9".parse().unwrap()), "2001:db8::1".parse().unwrap());
        frame[..6].copy_from_slice(&<[u8; 6]>::from(destination));
        speaker.handle_frame(now, interface, FrameKind::Ndp, &frame).is_some()
    };
    assert!(answers(1, MacAddr::new(0x33, 0x33, 0xff, 0, 0, 1)));
    assert!(answers(1, MacAddr::new(2, 0, 0, 0, 0, 1)));
    assert!(!answers(1, MacAddr::new(2, 0, 0, 0, 0, 7)));
    assert!(!answers(2, MacAddr::new(2, 0, 0, 0, 0, 1)));
}

#[test]
fn a_node_without_ipv6_owns_no_ipv6_address() {
    const SIX: &str = "2001:db8::56";
    let mut world = World::new(&["a", "b"], &[SIX]);
    world.run(seconds(3));
    let owner = world.owner(SIX);
    // It is switched off there: the other one takes over.
    let speaker = world.running.get_mut(&owner).unwrap();
    speaker.handle_interfaces(world.now, vec![ethernet(1, "eth0", &["192.0.2.250/24"])]);
    world.run(seconds(3));
    assert_ne!(world.owner(SIX), owner);
}
