//! Which interfaces share a segment, by what was heard and by hints.

use std::collections::BTreeSet;

use super::{
    view::{facing, hear_mac},
    *,
};
use crate::{
    liveness::reachability::Reachability,
    test_support::network,
    types::{InterfaceIndex, MacAddr},
    wire::message::Network,
};

/// The own interfaces in some pairs, each with the name of the peer's interface.
fn names(pairs: &[(crate::node::interface::InterfacePort, &Network)]) -> Vec<(u32, String)> {
    pairs
        .iter()
        .map(|(port, network)| (port.index.0, network.interface.clone()))
        .collect()
}

fn all(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn hints_are_common_prefixes_and_otherwise_names() {
    for (networks, wanted) in [
        (vec![("other", "172.16.0.2/24")], vec![2]),
        (vec![("lan0", "fe80::2/64")], vec![2]),
        (vec![("other", "fe80::2/64")], vec![]),
        (vec![("eth0", "10.0.0.2/24"), ("lan0", "172.16.0.2/24")], vec![1, 2]),
    ] {
        let parts = facing(&networks);
        let hints = names(&view!(parts, parts.now).hints(&"b".into()));
        let hints: Vec<u32> = hints.into_iter().map(|(index, _)| index).collect();
        assert_eq!(hints, wanted, "{networks:?}");
    }
}

#[test]
fn only_a_frame_that_was_heard_pairs_interfaces() {
    let mut parts = facing(&[("eth0", "10.0.0.2/24"), ("vxlan0", "10.244.0.2/32")]);
    assert_eq!(names(&view!(parts, parts.now).pairs(&"b".into())), []);
    hear_mac(&mut parts, 2, "c");
    assert_eq!(
        names(&view!(parts, parts.now).pairs(&"b".into())),
        [],
        "a MAC of another node"
    );
}

/// `b` has `eth0`, and a device of the name of an own interface. They have MACs of their own.
fn with_overlay() -> Parts {
    let mut parts = facing(&[]);
    let overlay = MacAddr::new(2, 1, 0, 0, 0, 2);
    let networks = vec![
        network("eth0", parts.mac("b"), &["10.0.0.2/24"]),
        network("lan0", overlay, &["10.244.0.2/32"]),
    ];
    parts.liveness.handle_networks(&"b".into(), networks);
    parts
}

#[test]
fn device_of_the_same_name_that_was_never_heard_faces_nothing() {
    let mut parts = with_overlay();
    let both = all(&["eth0", "lan0"]);
    let hinted = [(1, "eth0".to_owned()), (2, "lan0".to_owned())];
    let faced = |parts: &Parts, interfaces| names(&view!(parts, parts.now).facing(&"b".into(), interfaces));
    assert_eq!(faced(&parts, &both), hinted, "hints have to do while nothing is heard");
    hear_mac(&mut parts, 1, "b");
    assert_eq!(faced(&parts, &both), hinted[..1]);
    assert_eq!(names(&view!(parts, parts.now).askable(&"b".into())), hinted);
    let expected = view!(parts, parts.now).broadcast_interfaces(&"b".into());
    assert_eq!(expected, [InterfaceIndex(1)].into());
}

#[test]
fn interface_of_another_name_and_prefix_is_paired_once_it_is_heard() {
    let mut parts = facing(&[("port7", "203.0.113.2/24")]);
    assert!(names(&view!(parts, parts.now).askable(&"b".into())).is_empty());
    hear_mac(&mut parts, 2, "b");
    let wanted = [(2, "port7".to_owned())];
    assert_eq!(
        names(&view!(parts, parts.now).facing(&"b".into(), &all(&["port7"]))),
        wanted
    );
}

#[test]
fn vlan_interfaces_with_one_mac_are_told_apart_by_the_hints() {
    let mut parts = facing(&[("eth0", "10.0.0.2/24"), ("vlan7", "172.16.0.2/24")]);
    hear_mac(&mut parts, 1, "b");
    hear_mac(&mut parts, 2, "b");
    let pairs = names(&view!(parts, parts.now).pairs(&"b".into()));
    assert_eq!(pairs, [(1, "eth0".to_owned()), (2, "vlan7".to_owned())]);
}

#[test]
fn pairs_are_forgotten_when_the_interface_loses_its_carrier() {
    let mut parts = facing(&[("lan0", "172.16.0.2/24")]);
    hear_mac(&mut parts, 2, "b");
    parts
        .lan
        .set_own_macs(parts.node.macs(), |index| index != InterfaceIndex(2));
    assert!(names(&view!(parts, parts.now).pairs(&"b".into())).is_empty());
}

/// A check of `b`, which announces on all its interfaces. `b` has answered on `eth0`, and fails.
fn checked_beside_overlay() -> Parts {
    let mut parts = with_overlay();
    hear_mac(&mut parts, 1, "b");
    parts.beat("b", Path::Node);
    let seen = crate::lan::AddressUse {
        interface: InterfaceIndex(1),
        source: parts.mac("b"),
        address: ip("10.0.0.2"),
        mac: parts.mac("b"),
    };
    let user = AddressUser {
        node: &"b".into(),
        owns: false,
    };
    parts.liveness.count_answer(turn!(parts, parts.now), &seen, user);
    parts.pass(300);
    let targets = ["eth0", "lan0"].map(|name| (name.to_owned(), BTreeSet::new()));
    let around = surroundings!(parts);
    let targets = [("b".into(), targets.into())].into();
    parts.liveness.set_checks(turn!(parts, parts.now), around, &targets);
    // Each round is answered by the node where it can be, and its speaker is down.
    for _ in 0..20 {
        parts.now = parts.sinks.timers.get(Timer::ReachabilityCheck).unwrap();
        parts.lan.neighbours_mut().note_heard(parts.now, InterfaceIndex(1));
        let around = surroundings!(parts);
        parts.liveness.send_check_requests(turn!(parts, parts.now), around);
        parts.liveness.count_answer(turn!(parts, parts.now), &seen, user);
    }
    parts
}

#[test]
fn p2_silence_on_an_overlay_device_proves_nothing() {
    let parts = checked_beside_overlay();
    let result = view!(parts, parts.now).reachability(&"b".into(), &all(&["eth0", "lan0"]));
    assert_eq!(result, Reachability::SpeakerDown);
}

/// `b` has two ports with addresses on the LAN, and announces on the first, whose switch port stops
/// forwarding. The kernel of `b` answers on the second one.
#[test]
fn p1_answers_of_a_second_port_do_not_hide_that_the_first_is_dead() {
    let mut parts = facing(&[]);
    let (first, second) = (parts.mac("b"), MacAddr::new(2, 7, 0, 0, 0, 2));
    let networks = vec![
        network("eth0", first, &["10.0.0.2/24"]),
        network("eth1", second, &["10.0.0.102/24"]),
    ];
    parts.liveness.handle_networks(&"b".into(), networks);
    let macs = [(first, "b".into()), (second, "b".into())];
    parts.lan.set_peer_macs(turn!(parts, parts.now), macs.into());
    for mac in [first, second] {
        parts.lan.note_mac(parts.now, InterfaceIndex(1), mac);
    }
    let seen = |mac, address| crate::lan::AddressUse {
        interface: InterfaceIndex(1),
        source: mac,
        address: ip(address),
        mac,
    };
    let user = AddressUser {
        node: &"b".into(),
        owns: false,
    };
    parts.beat("b", Path::Node);
    let baseline = seen(first, "10.0.0.2");
    parts.liveness.count_answer(turn!(parts, parts.now), &baseline, user);
    parts.pass(300);
    let in_doubt = ["eth0", "eth1"].map(|name| (name.to_owned(), [ip("192.0.2.1")].into()));
    let around = surroundings!(parts);
    let targets = [("b".into(), in_doubt.into())].into();
    parts.liveness.set_checks(turn!(parts, parts.now), around, &targets);
    for _ in 0..20 {
        parts.now = parts.sinks.timers.get(Timer::ReachabilityCheck).unwrap();
        parts.lan.neighbours_mut().note_heard(parts.now, InterfaceIndex(1));
        let around = surroundings!(parts);
        parts.liveness.send_check_requests(turn!(parts, parts.now), around);
        for address in ["10.0.0.2", "10.0.0.102"] {
            let answer = seen(second, address);
            parts.liveness.count_answer(turn!(parts, parts.now), &answer, user);
        }
    }
    let result = view!(parts, parts.now).reachability(&"b".into(), &all(&["eth0", "eth1"]));
    assert_eq!(result, Reachability::NodeDown);
}

/// Two own ports: `eth0` with the InternalIP, and `lan0`.
fn one_per_segment(parts: &Parts) -> Vec<u32> {
    let view = view!(parts, parts.now);
    let ports = view.one_per_segment(parts.node.ports().collect());
    ports.into_iter().map(|port| port.index.0).collect()
}

#[test]
fn p5_of_two_own_ports_on_one_segment_the_first_announces() {
    let mut parts = facing(&[]);
    parts.lan.set_own_macs(parts.node.macs(), |_| true);
    assert_eq!(one_per_segment(&parts), [1, 2]);
    let own: Vec<MacAddr> = parts.node.ports().map(|port| port.mac).collect();
    parts.lan.note_mac(parts.now, InterfaceIndex(1), own[0]);
    assert_eq!(one_per_segment(&parts), [1, 2], "a frame that came back proves nothing");
    parts.lan.note_mac(parts.now, InterfaceIndex(1), own[1]);
    assert_eq!(one_per_segment(&parts), [1]);
    // The port with the InternalIP comes first, whatever its index.
    parts.edit_snapshot(|snapshot| snapshot.nodes.get_mut("a").unwrap().address = Some(ip("172.16.0.1")));
    assert_eq!(one_per_segment(&parts), [2]);
    // The first port has lost its carrier.
    parts
        .lan
        .set_own_macs(parts.node.macs(), |index| index == InterfaceIndex(1));
    let eth0 = parts.node.port(InterfaceIndex(1)).unwrap();
    let alone = view!(parts, parts.now).one_per_segment(vec![eth0]);
    assert_eq!(alone, [eth0]);
}

#[test]
fn p5_deputy_answers_with_the_mac_of_the_port_that_announces() {
    let mut parts = facing(&[]);
    let second = MacAddr::new(2, 7, 0, 0, 0, 2);
    for internal_on_second in [false, true] {
        let (first_ip, second_ip) = if internal_on_second {
            ("10.0.0.102/24", "10.0.0.2/24")
        } else {
            ("10.0.0.2/24", "10.0.0.102/24")
        };
        let networks = vec![
            network("eth0", parts.mac("b"), &[first_ip]),
            network("eth1", second, &[second_ip]),
        ];
        parts.liveness.handle_networks(&"b".into(), networks);
        let macs = [(parts.mac("b"), "b".into()), (second, "b".into())];
        parts.lan.set_peer_macs(turn!(parts, parts.now), macs.into());
        for mac in [second, parts.mac("b")] {
            parts.lan.note_mac(parts.now, InterfaceIndex(1), mac);
        }
        let view = view!(parts, parts.now);
        let facing = view.facing(&"b".into(), &all(&["eth0", "eth1"]));
        assert_eq!(facing.len(), 2);
        let address = ip("192.0.2.1");
        let one = names(&view.one_network_per_port(&"b".into(), address, facing));
        let wanted = if internal_on_second { "eth1" } else { "eth0" };
        assert_eq!(one, [(1, wanted.to_owned())]);
        // The port may have lost its carrier, and no message can tell.
        let (mac, other) = if internal_on_second {
            (parts.mac("b"), "eth0")
        } else {
            (second, "eth1")
        };
        let seen = crate::lan::AddressUse {
            interface: InterfaceIndex(1),
            source: mac,
            address,
            mac,
        };
        assert!(parts.lan.note_owner(&seen) && !parts.lan.note_owner(&seen));
        let view = view!(parts, parts.now);
        let facing = view.facing(&"b".into(), &all(&["eth0", "eth1"]));
        let one = names(&view.one_network_per_port(&"b".into(), address, facing));
        assert_eq!(one, [(1, other.to_owned())]);
        parts.lan.retain_owners(|_| false);
    }
}
