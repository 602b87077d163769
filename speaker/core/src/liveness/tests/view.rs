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
    parts.lan.note_mac(InterfaceIndex(interface), mac);
}

#[test]
fn path_of_a_message_follows_from_its_source_address() {
    let parts = facing(&[("eth0", "10.0.0.2/24"), ("lan0", "172.16.0.2/24")]);
    let view = view!(parts, parts.now);
    for (source, path) in [
        ("10.0.0.2", Path::Node),
        ("172.16.0.2", Path::Lan),
        ("203.0.113.1", Path::Node),
    ] {
        assert_eq!(view.path(&"b".into(), ip(source)), path, "{source}");
    }
}

#[test]
fn lan_address_is_in_a_common_prefix_other_than_the_node_network() {
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
        assert_eq!(
            view!(parts, parts.now).lan_address(&"b".into()),
            None,
            "nothing is heard"
        );
        hear_mac(&mut parts, 2, "b");
        assert_eq!(
            view!(parts, parts.now).lan_address(&"b".into()),
            wanted.map(ip),
            "{networks:?}"
        );
    }
}

#[test]
fn phase_for_an_address_is_that_of_the_path_it_is_announced_on() {
    let mut parts = facing(&[("eth0", "10.0.0.2/24"), ("lan0", "172.16.0.2/24")]);
    parts.beat("b", Path::Lan);
    for _ in 0..4 {
        parts.beat("b", Path::Node);
        parts.pass(50);
    }
    let view = view!(parts, parts.now);
    let is_failed = |interfaces: &[&str]| {
        let interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
        view.phase_for(&interfaces, &"b".into())
            .is_some_and(peers::Phase::is_failed)
    };
    assert!(!is_failed(&["eth0"]), "the node network");
    assert!(is_failed(&["lan0"]) && is_failed(&["eth0", "lan0"]));
}
