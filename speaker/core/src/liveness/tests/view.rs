use std::collections::BTreeSet;

use super::*;
use crate::{test_support::network, testing::ethernet, types::InterfaceIndex};

/// This node has the node network on `eth0` and a LAN on `lan0`. Each network of `b` is the name of
/// an interface and one prefix.
pub(super) fn facing(networks: &[(&str, &str)]) -> Parts {
    let mut parts = Parts::new(&["a", "b", "c"], &[]);
    let interfaces = vec![
        ethernet(1, "eth0", &["10.0.0.1/24"]),
        ethernet(2, "lan0", &["172.16.0.1/24", "fe80::1/64"]),
    ];
    parts.node.set_interfaces(interfaces);
    parts.hear("b", Path::Node);
    let networks = networks
        .iter()
        .map(|(name, prefix)| network(name, parts.mac("b"), &[prefix]));
    parts.liveness.handle_networks(&"b".into(), networks.collect());
    parts
}

/// A frame with the MAC of `node` arrives on an interface.
pub(super) fn hear_mac(parts: &mut Parts, interface: u32, node: &str) {
    let (node, mac) = (node.into(), parts.mac(node));
    parts.lan.set_peer_macs(turn!(parts, parts.now), [(mac, node)].into());
    parts.lan.note_mac(parts.now, InterfaceIndex(interface), mac);
}

#[test]
fn path_of_a_message_follows_from_its_source_address() {
    let mut parts = facing(&[("eth0", "10.0.0.2/24"), ("lan0", "172.16.0.2/24")]);
    let path = |parts: &Parts, source| view!(parts, parts.now).path(&"b".into(), ip(source));
    assert_eq!(path(&parts, "172.16.0.2"), Path::Other, "no frame was heard from there");
    hear_mac(&mut parts, 2, "b");
    for (source, wanted) in [
        ("10.0.0.2", Path::Node),
        ("172.16.0.2", Path::Segment(InterfaceIndex(2))),
        ("203.0.113.1", Path::Node),
    ] {
        assert_eq!(path(&parts, source), wanted, "{source}");
    }
}

#[test]
fn segment_addresses_are_in_a_common_prefix_other_than_the_node_network() {
    for (networks, wanted) in [
        (
            vec![("eth0", "10.0.0.2/24"), ("lan0", "172.16.0.2/24")],
            Some("172.16.0.2"),
        ),
        (vec![("eth0", "10.0.0.2/24"), ("lan0", "172.17.0.2/24")], None),
        (vec![("eth0", "10.0.0.2/24")], None),
        (vec![("lan0", "fe80::2/64")], None),
    ] {
        let mut parts = facing(&networks);
        let addresses = |parts: &Parts| {
            let addresses = view!(parts, parts.now).segment_addresses(&"b".into());
            addresses.into_values().next()
        };
        assert_eq!(addresses(&parts), None, "nothing is heard");
        hear_mac(&mut parts, 2, "b");
        assert_eq!(addresses(&parts), wanted.map(ip), "{networks:?}");
    }
}

/// `b` is heard on the node network `eth0`, and was heard on `lan0` once.
fn failed_on_lan() -> Parts {
    let mut parts = facing(&[("eth0", "10.0.0.2/24"), ("lan0", "172.16.0.2/24")]);
    hear_mac(&mut parts, 2, "b");
    parts.beat("b", Path::Segment(InterfaceIndex(2)));
    for _ in 0..4 {
        parts.beat("b", Path::Node);
        parts.pass(50);
    }
    parts
}

fn names(interfaces: &[&str]) -> BTreeSet<String> {
    interfaces.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn p1_peer_that_failed_on_one_segment_failed_for_its_addresses_there() {
    let parts = failed_on_lan();
    let view = view!(parts, parts.now);
    let is_failed = |interfaces: &[&str]| {
        let phase = view.phase_for(&names(interfaces), &"b".into());
        phase.is_some_and(peers::Phase::is_failed)
    };
    assert!(!is_failed(&["eth0"]), "the node network");
    assert!(is_failed(&["lan0"]) && is_failed(&["eth0", "lan0"]));
    assert!(!is_failed(&["vlan9"]), "nothing is known of it");
    assert!(view.is_heard(&"b".into()) && view.peers().is_available(&"b".into(), parts.now));
    assert_eq!(view.failed_networks(), [("b".into(), names(&["lan0"]))].into());
}

/// Above eight nodes this node watches some peers only. It hears of the others on the node network.
#[test]
fn p1_peer_that_is_not_watched_on_a_segment_does_not_end_isolation() {
    let mut parts = failed_on_lan();
    parts.hear("c", Path::Node);
    let networks = [("eth0", "10.0.0.3/24"), ("lan0", "172.16.0.3/24")];
    let networks = networks.map(|(name, prefix)| network(name, parts.mac("c"), &[prefix]));
    parts.liveness.handle_networks(&"c".into(), networks.to_vec());
    let macs = ["b", "c"].map(|node| (parts.mac(node), node.into()));
    parts.lan.set_peer_macs(turn!(parts, parts.now), macs.into());
    parts.lan.note_mac(parts.now, InterfaceIndex(2), parts.mac("c"));
    let lan = InterfaceIndex(2);
    assert!(view!(parts, parts.now).is_heard(&"c".into()));
    assert!(view!(parts, parts.now).is_isolated_on(lan));
    parts.beat("c", Path::Segment(lan));
    assert!(
        !view!(parts, parts.now).is_isolated_on(lan),
        "it is watched and heard there"
    );
}

#[test]
fn peer_that_is_silent_on_the_node_network_is_reached_over_segments() {
    let mut parts = facing(&[("eth0", "10.0.0.2/24"), ("lan0", "172.16.0.2/24")]);
    hear_mac(&mut parts, 2, "b");
    parts.beat("b", Path::Node);
    for _ in 0..5 {
        parts.beat("b", Path::Segment(InterfaceIndex(2)));
        parts.pass(50);
    }
    let peers = view!(parts, parts.now).peers();
    assert!(peers.has_failed_somewhere(&"b".into(), parts.now));
    assert_eq!(
        view!(parts, parts.now).failed_networks_of(&"b".into()),
        names(&["eth0"])
    );
}

#[test]
fn second_port_of_a_peer_on_the_node_network_is_no_segment_of_its_own() {
    let mut parts = facing(&[]);
    let second = crate::types::MacAddr::new(2, 7, 0, 0, 0, 2);
    let networks = vec![
        network("eth0", parts.mac("b"), &["10.0.0.2/24"]),
        network("eth1", second, &["10.0.0.102/24"]),
    ];
    parts.liveness.handle_networks(&"b".into(), networks);
    let macs = [(parts.mac("b"), "b".into()), (second, "b".into())];
    parts.lan.set_peer_macs(turn!(parts, parts.now), macs.into());
    for mac in [parts.mac("b"), second] {
        parts.lan.note_mac(parts.now, InterfaceIndex(1), mac);
    }
    let view = view!(parts, parts.now);
    assert_eq!(view.path(&"b".into(), ip("10.0.0.102")), Path::Node);
    assert_eq!(view.segment_addresses(&"b".into()), [].into());
}
