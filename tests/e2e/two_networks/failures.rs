//! Failures of networks and nodes, and foreign hosts that use an address.

use std::{collections::BTreeSet, time::Duration};

use lodestone_tests::{AnnouncedService, Cluster, LossRule, wait_for};
use serde_json::{Value, json};

use super::{exclude, include};
use crate::support::{
    Answers, LIMIT, TAKEOVER_GAP, announced, assert_owners_stay, client, ipv6_only, merge, watch_answers,
};

/// How long a test observes that nothing moves: longer than the delays of the speakers before a
/// move to a better owner (10 s).
const WINDOW: Duration = Duration::from_secs(12);

/// How many times the test of packet loss asks for an address. Each request takes a second.
/// Unlikely coincidences of losses need time to show.
const REQUESTS: usize = 20;

/// Moves the Service away from the node with the API server if that is the owner. Returns the
/// owner.
fn leave_control_plane(cluster: &Cluster, service: &AnnouncedService<'_>) -> String {
    if service.owner != "cp" {
        return service.owner.clone();
    }
    exclude(cluster, "cp");
    let other = service.wait_for_move();
    include(cluster, "cp");
    other.unwrap()
}

/// Asserts that somebody answered throughout: the former owner or its deputy, and then `other`.
fn assert_taken_over(cluster: &Cluster, service: &AnnouncedService<'_>, other: &str, answers: &Answers) {
    let macs = [&service.owner, other].map(|node| cluster.host(node).mac(cluster.lan_interface()).unwrap());
    answers.assert(cluster, TAKEOVER_GAP, &[&macs[0], &macs[1]]);
    answers.assert_takeover(cluster);
}

pub(crate) fn p1_node_cut_off_from_the_lan_loses_its_address(cluster: &Cluster) {
    for (name, more) in [("lan-cut", json!({})), ("lan-cut-six", ipv6_only())] {
        let service = announced(cluster, name, &more);
        let (address, node) = (&service.address, &service.owner);
        let answers = watch_answers(cluster, &service.address, || {
            cluster.set_lan_loss(node, LossRule::All).unwrap()
        });
        let moved = service.wait_for_move();
        let event = cluster.wait_for_event("default", name, "OwnerMoved");
        cluster.restore_links(node).unwrap();
        let (other, event) = (moved.unwrap(), event.unwrap());
        assert_taken_over(cluster, &service, &other, &answers);
        let taken =
            format!("took ownership of {address} from node {node}: the former owner does not answer on the LAN");
        assert!(event.contains(&taken), "{event}");
        // P3, P5: when the node is back, the new owner is the only owner.
        cluster.wait_for_lodestone().unwrap();
        assert_owners_stay(cluster, &[(&service, &other)], WINDOW);
        client(cluster).http(address, 80).unwrap();
    }
}

pub(crate) fn p6_node_cut_off_from_the_other_nodes_keeps_its_address(cluster: &Cluster) {
    let service = announced(cluster, "nodes-cut", &json!({}));
    // Cutting the control-plane node off would cut the API server off, too.
    let node = leave_control_plane(cluster, &service);
    cluster.set_node_network_loss(&node, LossRule::All).unwrap();
    assert_owners_stay(cluster, &[(&service, &node)], WINDOW);
    cluster.restore_links(&node).unwrap();
    cluster.wait_for_lodestone().unwrap();
    assert_eq!(service.current_owner().unwrap(), node);
}

pub(crate) fn p1_node_without_carrier_hands_its_address_over(cluster: &Cluster) {
    for (name, more) in [("cable", json!({})), ("cable-six", ipv6_only())] {
        let service = announced(cluster, name, &more);
        let answers = watch_answers(cluster, &service.address, || {
            cluster.set_carrier(&service.owner, false).unwrap();
        });
        let moved = service.wait_for_move();
        cluster.set_carrier(&service.owner, true).unwrap();
        let other = moved.unwrap();
        assert_taken_over(cluster, &service, &other, &answers);
        assert_owners_stay(cluster, &[(&service, &other)], WINDOW);
    }
}

pub(crate) fn p5_address_used_by_a_foreign_host_is_not_announced(cluster: &Cluster) {
    let foreign = cluster.host("client2");
    let mac = foreign.mac("eth0").unwrap();
    for (name, taken, length, more) in [
        ("taken", "192.168.122.119", 24, json!({})),
        ("taken-six", "fd00:122::a9", 64, ipv6_only()),
    ] {
        let with_length = format!("{taken}/{length}");
        // Without duplicate address detection, like a host that has had the address for long.
        foreign
            .ip(&["addr", "add", &with_length, "dev", "eth0", "nodad"])
            .unwrap();
        let mut service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "type": "LoadBalancer", "loadBalancerIP": taken, "selector": {"app": "nginx-deployment"}, "ports": [{"port": 80}],
            },
        });
        merge(&mut service["spec"], &more);
        cluster.apply(&service.to_string()).unwrap();
        let event = cluster.wait_for_event("default", name, "AddressConflict").unwrap();
        assert!(
            event.contains(&mac) && event.contains("does not announce the address"),
            "{event}"
        );
        if length == 24 {
            assert_eq!(client(cluster).who_has(taken).unwrap(), [mac.clone()].into());
        } else {
            client(cluster).forget_neighbours().unwrap();
            assert!(
                client(cluster).http(taken, 80).is_err(),
                "the foreign host serves nothing"
            );
            assert_eq!(client(cluster).neighbour(taken).unwrap(), Some(mac.clone()));
        }
        foreign.ip(&["addr", "del", &with_length, "dev", "eth0"]).unwrap();
        cluster.owner_of(taken).unwrap();
        client(cluster).forget_neighbours().unwrap();
        client(cluster).http(taken, 80).unwrap();
        cluster.kubectl(&["delete", "service", name]).unwrap();
    }
}

pub(crate) fn p6_packet_loss_moves_nothing(cluster: &Cluster) {
    let service = announced(cluster, "loss", &json!({}));
    let (address, node) = (service.address.clone(), service.owner.clone());
    let all = cluster.spec().nodes();
    for host in &all {
        cluster.set_lan_loss(host, LossRule::Percent(30)).unwrap();
        cluster.set_node_network_loss(host, LossRule::Percent(10)).unwrap();
    }
    let seen: Vec<_> = (0..REQUESTS)
        .map(|_| client(cluster).who_has(&address).unwrap())
        .collect();
    all.iter().for_each(|host| cluster.restore_links(host).unwrap());
    let mac = cluster.host(&node).mac(cluster.lan_interface()).unwrap();
    assert!(!seen.iter().all(BTreeSet::is_empty), "nobody answers");
    assert!(
        seen.iter().flatten().all(|answered| *answered == mac),
        "{node} is {mac}: {seen:?}"
    );
    assert_eq!(service.current_owner().unwrap(), node);
}

pub(crate) fn p6_node_that_fails_while_the_api_server_is_down_is_replaced(cluster: &Cluster) {
    let service = announced(cluster, "no-api", &json!({}));
    let (address, node) = (&service.address, leave_control_plane(cluster, &service));
    cluster.stop_api_server().unwrap();
    cluster.power_off(&node).unwrap();
    let macs = wait_for("another owner", LIMIT, || {
        let macs = client(cluster).who_has(address)?;
        let dead = cluster.host(&node).mac(cluster.lan_interface())?;
        Ok((macs.len() == 1 && !macs.contains(&dead)).then_some(macs))
    });
    cluster.start_api_server().unwrap();
    let returned = cluster.bring_back(&node);
    macs.unwrap();
    returned.unwrap();
    cluster.wait_for_lodestone().unwrap();
    let state: Value = cluster.get(&["-n", "default", "service", "no-api"]).unwrap();
    assert_eq!(state["status"]["loadBalancer"]["ingress"][0]["ip"], json!(address));
}
