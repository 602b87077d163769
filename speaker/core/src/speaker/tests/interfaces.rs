//! The interfaces of a node, and which requests it answers on them.

use std::net::Ipv6Addr;

use super::*;
use crate::node::Interface;

/// The MAC of the only interface of the first node.
const OURS: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
const OTHER: MacAddr = MacAddr(2, 0, 0, 0, 0, 7);
const CLIENT: MacAddr = MacAddr(2, 9, 9, 9, 9, 9);

fn set_destination(frame: &mut [u8], destination: MacAddr) {
    frame[..6].copy_from_slice(&destination.octets());
}

#[test]
fn arp_requests_to_other_hosts_or_on_other_interfaces_get_no_reply() {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    world.kill(&"b".into());
    world.run(seconds(2));
    let now = world.now;
    let speaker = world.speaker(&"a".into());
    let mut is_answered = |interface, destination| {
        let mut frame = arp::request(CLIENT, "192.0.2.99".parse().unwrap(), ADDRESS.parse().unwrap());
        set_destination(&mut frame, destination);
        let reply = speaker.handle_frame(now, InterfaceIndex(interface), FrameKind::Arp, &frame);
        reply.is_some()
    };
    assert!(is_answered(1, MacAddr::broadcast()));
    assert!(is_answered(1, OURS));
    assert!(!is_answered(1, OTHER));
    assert!(!is_answered(2, MacAddr::broadcast()));
}

#[test]
fn solicitations_to_the_group_or_to_this_node_are_answered() {
    let mut world = VirtualCluster::new(&["a"], &["2001:db8::1"]);
    world.run(seconds(3));
    let now = world.now;
    let speaker = world.speaker(&"a".into());
    let mut is_answered = |interface, destination| {
        let client = "fe80::9".parse().unwrap();
        let mut frame = ndp::solicitation(CLIENT, Some(client), "2001:db8::1".parse().unwrap());
        set_destination(&mut frame, destination);
        let reply = speaker.handle_frame(now, InterfaceIndex(interface), FrameKind::Ndp, &frame);
        reply.is_some()
    };
    assert!(is_answered(1, MacAddr::new(0x33, 0x33, 0xff, 0, 0, 1)));
    assert!(is_answered(1, OURS));
    assert!(!is_answered(1, OTHER));
    assert!(!is_answered(2, OURS));
}

#[test]
fn address_leaves_an_interface_that_is_down_and_a_new_mac_is_announced() {
    let mut world = VirtualCluster::new(&["a", "b"], &[ADDRESS]);
    world.run(seconds(10));
    let (owner, now) = (world.owner(ADDRESS), world.now);
    let down = Interface {
        running: false,
        ..ethernet(world.interface_index(&owner).0, "eth0", &["192.0.2.250/24"])
    };
    world.speaker(&owner).handle_interfaces(now, vec![down]);
    world.run(STEP * 2);
    let other = world.owner(ADDRESS);
    assert_ne!(other, owner);
    world.run(seconds(10));
    let (frames, now) = (world.frames, world.now);
    let changed = Interface {
        mac: Some(MacAddr::new(2, 7, 7, 7, 7, 7)),
        ..ethernet(world.interface_index(&other).0, "eth0", &["192.0.2.250/24"])
    };
    world.speaker(&other).handle_interfaces(now, vec![changed]);
    world.run(STEP * 2);
    assert_eq!(world.frames, frames + 2);
}

#[test]
fn only_the_owner_of_an_ipv6_address_joins_its_group_until_it_fails() {
    let group: Ipv6Addr = "ff02::1:ff00:56".parse().unwrap();
    let mut world = VirtualCluster::new(&["a", "b", "c"], &[ADDRESS, IPV6_ADDRESS]);
    world.run(seconds(3));
    let owner = world.owner(IPV6_ADDRESS);
    for node in world.speakers.keys() {
        let mut groups = world.groups.get(node).into_iter().flatten();
        let is_member = groups.any(|(_, joined)| *joined == group);
        assert_eq!(is_member, *node == owner, "{node}");
    }
    world.kill(&owner);
    world.run(seconds(5));
    assert_ne!(world.owner(IPV6_ADDRESS), owner);
}

#[test]
fn address_leaves_a_node_on_which_ipv6_is_switched_off() {
    let mut world = VirtualCluster::new(&["a", "b"], &[IPV6_ADDRESS]);
    world.run(seconds(3));
    let (owner, now) = (world.owner(IPV6_ADDRESS), world.now);
    let without_ipv6 = ethernet(world.interface_index(&owner).0, "eth0", &["192.0.2.250/24"]);
    world.speaker(&owner).handle_interfaces(now, vec![without_ipv6]);
    world.run(seconds(3));
    assert_ne!(world.owner(IPV6_ADDRESS), owner);
}
