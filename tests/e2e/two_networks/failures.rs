//! Networks, nodes and hosts that fail or are in the way.

use lodestone_tests::{Announced, Cluster, Loss, NAMESPACE, wait_for};
use serde_json::{Value, json};

use super::{LIMIT, LOOKS, announced, client, cluster, label, six};

/// Some node owns it now, and goes on doing so, however often it is looked.
fn stays(cluster: &Cluster, service: &Announced<'_>, node: &str) {
    for _ in 0..LOOKS {
        let now = service.owner_now().unwrap();
        let all = [
            "logs",
            "daemonset/lodestone-speaker",
            "--all-pods",
            "--prefix",
            "--tail=30",
        ];
        let said = || cluster.kubectl(&[&["-n", NAMESPACE], &all[..]].concat());
        assert!(
            now == node,
            "{node} has lost {} to {now}: {:?}",
            service.address,
            said()
        );
    }
}

/// Sees to it that the API server's node does not own it, and gives who does.
fn leave_control_plane(cluster: &Cluster, service: &Announced<'_>) -> String {
    if service.owner != "cp" {
        return service.owner.clone();
    }
    label(cluster, "cp", "=");
    let other = service.moves();
    label(cluster, "cp", "-");
    other.unwrap()
}

#[test]
fn p1_a_node_that_is_cut_off_from_the_lan_loses_its_address_though_the_nodes_hear_it() {
    let cluster = cluster();
    for (name, more) in [("lan-cut", json!({})), ("lan-cut-six", six())] {
        let service = announced(&cluster, name, &more);
        let (address, node) = (&service.address, &service.owner);
        cluster.lose_on_lan(node, Loss::All).unwrap();
        let moved = service.moves();
        let event = cluster.event("default", name, "ownerMoved");
        cluster.mend(node).unwrap();
        let (other, event) = (moved.unwrap(), event.unwrap());
        let why = format!("{address} moves here from node {node}: the node is silent");
        assert!(event.contains(&why), "{event}");
        // P3, P5: when it is back one owner is left, and that is the new one.
        cluster.wait_for_lodestone().unwrap();
        stays(&cluster, &service, &other);
        client(&cluster).http(address, 80).unwrap();
    }
}

#[test]
fn p6_a_node_that_the_others_do_not_hear_keeps_its_address_while_it_answers_on_the_lan() {
    let cluster = cluster();
    let service = announced(&cluster, "nodes-cut", &json!({}));
    // The control-plane node would take the API server along.
    let node = leave_control_plane(&cluster, &service);
    cluster.lose_on_node_network(&node, Loss::All).unwrap();
    stays(&cluster, &service, &node);
    cluster.mend(&node).unwrap();
    cluster.wait_for_lodestone().unwrap();
    assert_eq!(service.owner_now().unwrap(), node);
}

#[test]
fn p1_a_node_whose_cable_is_out_hands_its_address_over_and_takes_nothing_back() {
    let cluster = cluster();
    for (name, more) in [("cable", json!({})), ("cable-six", six())] {
        let service = announced(&cluster, name, &more);
        cluster.plug(&service.owner, false).unwrap();
        let moved = service.moves();
        cluster.plug(&service.owner, true).unwrap();
        stays(&cluster, &service, &moved.unwrap());
    }
}

#[test]
fn p5_an_address_that_a_foreign_host_has_is_not_announced_until_that_is_gone() {
    let cluster = cluster();
    let foreign = cluster.host("client2");
    let mac = foreign.mac("eth0").unwrap();
    for (name, taken, length, more) in [
        ("taken", "192.168.122.119", 24, json!({})),
        ("taken-six", "fd00:122::a9", 64, six()),
    ] {
        let with_length = format!("{taken}/{length}");
        // Whoever has an IPv6 address for long does not ask for it any more.
        foreign
            .ip(&["addr", "add", &with_length, "dev", "eth0", "nodad"])
            .unwrap();
        let mut service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "type": "LoadBalancer", "loadBalancerIP": taken, "selector": {"app": "nginx-deployment"}, "ports": [{"port": 80}],
            },
        });
        for (key, value) in more.as_object().unwrap() {
            service["spec"][key] = value.clone();
        }
        cluster.apply(&service.to_string()).unwrap();
        let event = cluster.event("default", name, "addressConflict").unwrap();
        assert!(event.contains(&mac) && event.contains("not announced"), "{event}");
        if length == 24 {
            assert_eq!(client(&cluster).who_has(taken).unwrap(), [mac.clone()].into());
        } else {
            client(&cluster).forget_neighbours().unwrap();
            assert!(client(&cluster).http(taken, 80).is_err(), "it is another host");
            assert_eq!(client(&cluster).neighbour(taken).unwrap(), Some(mac.clone()));
        }
        foreign.ip(&["addr", "del", &with_length, "dev", "eth0"]).unwrap();
        cluster.owner_of(taken).unwrap();
        client(&cluster).forget_neighbours().unwrap();
        client(&cluster).http(taken, 80).unwrap();
        cluster.kubectl(&["delete", "service", name]).unwrap();
    }
}

#[test]
fn p6_where_much_is_lost_nothing_moves() {
    let cluster = cluster();
    let service = announced(&cluster, "loss", &json!({}));
    let (address, node) = (service.address.clone(), service.owner.clone());
    let all = cluster.spec().nodes();
    for host in &all {
        cluster.lose_on_lan(host, Loss::Percent(30)).unwrap();
        cluster.lose_on_node_network(host, Loss::Percent(10)).unwrap();
    }
    let seen: Vec<_> = (0..LOOKS)
        .map(|_| client(&cluster).who_has(&address).unwrap())
        .collect();
    all.iter().for_each(|host| cluster.mend(host).unwrap());
    let mac = cluster.host(&node).mac(cluster.lan_interface()).unwrap();
    assert!(
        seen.iter().flatten().all(|answered| *answered == mac),
        "{node} is {mac}: {seen:?}"
    );
    assert_eq!(service.owner_now().unwrap(), node);
}

#[test]
fn p6_without_the_api_server_a_node_that_dies_is_replaced() {
    let cluster = cluster();
    let service = announced(&cluster, "no-api", &json!({}));
    let (address, node) = (&service.address, leave_control_plane(&cluster, &service));
    cluster.stop_api_server().unwrap();
    cluster.power_off(&node).unwrap();
    let macs = wait_for("another owner", LIMIT, || {
        let macs = client(&cluster).who_has(address)?;
        let dead = cluster.host(&node).mac(cluster.lan_interface())?;
        Ok((macs.len() == 1 && !macs.contains(&dead)).then_some(macs))
    });
    cluster.start_api_server().unwrap();
    let came = cluster.bring_back(&node);
    macs.unwrap();
    came.unwrap();
    cluster.wait_for_lodestone().unwrap();
    let state: Value = cluster.get(&["-n", "default", "service", "no-api"]).unwrap();
    assert_eq!(state["status"]["loadBalancer"]["ingress"][0]["ip"], json!(address));
}
