use super::*;
use crate::{test_support::network, testing::ethernet, types::InterfaceIndex};

/// This node has the node network on `eth0` and a LAN on `lan0`. The networks of `b` are given by the
/// names of their interfaces and one prefix each.
fn facing(networks: &[(&str, &str)]) -> Parts {
    let mut parts = Parts::new(&["a", "b"], &[]);
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

fn indices(pairs: &[(crate::node::interface::InterfacePort, &Network)]) -> Vec<InterfaceIndex> {
    pairs.iter().map(|(port, _)| port.index).collect()
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
        let parts = facing(&networks);
        assert_eq!(
            view!(parts, parts.now).lan_address(&"b".into()),
            wanted.map(ip),
            "{networks:?}"
        );
    }
}

#[test]
fn ports_are_paired_by_prefix_and_otherwise_by_name() {
    for (networks, wanted) in [
        (vec![("other", "172.16.0.2/24")], vec![2]),
        (vec![("lan0", "fe80::2/64")], vec![2]),
        (vec![("other", "fe80::2/64")], vec![]),
        (vec![("eth0", "10.0.0.2/24"), ("lan0", "172.16.0.2/24")], vec![1, 2]),
    ] {
        let parts = facing(&networks);
        let view = view!(parts, parts.now);
        let pairs = view.facing(&"b".into());
        assert_eq!(
            indices(&pairs),
            Vec::from_iter(wanted.into_iter().map(InterfaceIndex)),
            "{networks:?}"
        );
    }
}

#[test]
fn node_network_counts_only_where_the_peer_has_no_other_network() {
    for (networks, wanted) in [
        (vec![("eth0", "10.0.0.2/24"), ("lan0", "172.16.0.2/24")], vec![2]),
        (vec![("eth0", "10.0.0.2/24")], vec![1]),
    ] {
        let parts = facing(&networks);
        let view = view!(parts, parts.now);
        let pairs = view.facing_on_lan(&"b".into());
        assert_eq!(
            indices(&pairs),
            Vec::from_iter(wanted.into_iter().map(InterfaceIndex)),
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
    let is_failed = |address| {
        view.phase_for(ip(address), &"b".into())
            .is_some_and(peers::Phase::is_failed)
    };
    assert!(!is_failed("10.0.0.99"), "the node network has this prefix");
    assert!(is_failed("172.16.0.99") && is_failed("203.0.113.1"));
}
