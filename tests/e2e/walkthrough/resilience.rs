//! Processes and nodes that are killed, frozen and restarted.

use lodestone_tests::{Cluster, NAMESPACE, wait_until};
use serde_json::json;

use super::{answer, cluster, owner};
use crate::support::{DEPUTY_GAP, LIMIT, TAKEOVER_GAP, TestNamespace, client, watch_answers};

pub(super) fn lan_mac(cluster: &Cluster, node: &str) -> String {
    cluster.host(node).mac(cluster.lan_interface()).unwrap()
}

pub(crate) fn p2_killed_speaker_keeps_its_address_and_mac(cluster: &Cluster) {
    let ns = TestNamespace::create(cluster, "killed");
    ns.deploy("web", 2);
    ns.balance("web", "web", &json!({}));
    let address = ns.address("web");
    let node = owner(cluster, &address);
    let pod = cluster.pod_of("speaker", Some(&node)).unwrap();
    let answers = watch_answers(cluster, &address, || {
        cluster.process_of_pod(NAMESPACE, &pod).unwrap().kill();
        answer(cluster, &address);
        cluster.wait_for_lodestone().unwrap();
    });
    answers.assert(cluster, DEPUTY_GAP, &[&lan_mac(cluster, &node)]);
    assert_eq!(owner(cluster, &address), node);
}

pub(crate) fn p2_deputy_answers_with_the_mac_of_a_frozen_speaker(cluster: &Cluster) {
    let ns = TestNamespace::create(cluster, "frozen");
    ns.deploy("web", 2);
    ns.balance("web", "web", &json!({}));
    let address = ns.address("web");
    let node = owner(cluster, &address);
    let process = cluster
        .process_of_pod(NAMESPACE, &cluster.pod_of("speaker", Some(&node)).unwrap())
        .unwrap();
    let answers = watch_answers(cluster, &address, || {
        process.freeze();
        client(cluster).forget_neighbours().unwrap();
        answer(cluster, &address);
        process.thaw();
        cluster.wait_for_lodestone().unwrap();
    });
    answers.assert(cluster, DEPUTY_GAP, &[&lan_mac(cluster, &node)]);
    assert_eq!(owner(cluster, &address), node);
    answer(cluster, &address);
}

#[test]
fn p1_p3_node_that_loses_power_is_replaced_and_takes_nothing_back() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "power");
    ns.deploy("web", 3);
    ns.balance("web", "web", &json!({}));
    let address = ns.address("web");
    let node = owner(&cluster, &address);
    // This test must not power off the node with the API server.
    let node = if node == "cp" {
        let label = "node.kubernetes.io/exclude-from-external-load-balancers";
        cluster.kubectl(&["label", "node", "cp", &format!("{label}=")]).unwrap();
        let mut other = node;
        // The new owner starts before the old owner stops: for a moment both answer.
        wait_until("the address to leave the control-plane node", LIMIT, || {
            other = cluster.owner_of(&address).unwrap();
            other != "cp"
        })
        .unwrap();
        assert_eq!(owner(&cluster, &address), other);
        cluster.kubectl(&["label", "node", "cp", &format!("{label}-")]).unwrap();
        other
    } else {
        node
    };
    let answers = watch_answers(&cluster, &address, || cluster.power_off(&node).unwrap());
    let other = owner(&cluster, &address);
    assert_ne!(other, node);
    // While the node is suspect, a deputy answers with its MAC.
    let macs = [&node, &other].map(|node| lan_mac(&cluster, node));
    answers.assert(&cluster, TAKEOVER_GAP, &[&macs[0], &macs[1]]);
    answers.assert_takeover(&cluster);
    cluster.bring_back(&node).unwrap();
    cluster.wait_for_lodestone().unwrap();
    assert_eq!(owner(&cluster, &address), other);
}

#[test]
fn rolling_restart_of_the_controller_changes_no_address() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "rolling-controller");
    ns.deploy("web", 1);
    for name in ["a", "b", "c"] {
        ns.balance(name, "web", &json!({}));
    }
    let addresses = || ["a", "b", "c"].map(|name| ns.address(name));
    let before = addresses();
    cluster
        .kubectl(&["-n", NAMESPACE, "rollout", "restart", "deployment/lodestone-controller"])
        .unwrap();
    // A Service created meanwhile gets another address.
    ns.balance("d", "web", &json!({}));
    let new = ns.address("d");
    cluster.wait_for_lodestone().unwrap();
    assert_eq!((addresses(), before.contains(&new)), (before.clone(), false));
    before.iter().for_each(|address| drop(owner(&cluster, address)));
}

pub(crate) fn p2_rolling_restart_of_the_speakers_moves_nothing(cluster: &Cluster) {
    let ns = TestNamespace::create(cluster, "rolling-speakers");
    ns.deploy("web", 2);
    for name in ["a", "b"] {
        ns.balance(name, "web", &json!({}));
    }
    let before = ["a", "b"].map(|name| ns.address(name));
    let owners = || before.iter().map(|address| owner(cluster, address)).collect::<Vec<_>>();
    let owned_by = owners();
    let answers = watch_answers(cluster, &before[0], || {
        cluster
            .kubectl(&["-n", NAMESPACE, "rollout", "restart", "daemonset/lodestone-speaker"])
            .unwrap();
        cluster.wait_for_lodestone().unwrap();
    });
    answers.assert(cluster, DEPUTY_GAP, &[&lan_mac(cluster, &owned_by[0])]);
    assert_eq!(["a", "b"].map(|name| ns.address(name)), before);
    assert_eq!(owners(), owned_by);
    for address in &before {
        answer(cluster, address);
    }
}

/// No other node is eligible. Without a deputy nobody answers until the speaker has started again.
pub(crate) fn p2_deputy_covers_the_only_local_endpoint_throughout(cluster: &Cluster) {
    let ns = TestNamespace::create(cluster, "only-local");
    ns.deploy("web", 1);
    ns.balance("web", "web", &json!({"externalTrafficPolicy": "Local"}));
    let address = ns.address("web");
    let node = owner(cluster, &address);
    let pod = cluster.pod_of("speaker", Some(&node)).unwrap();
    let answers = watch_answers(cluster, &address, || {
        cluster.kubectl(&["-n", NAMESPACE, "delete", "pod", &pod]).unwrap();
        cluster.wait_for_lodestone().unwrap();
    });
    answers.assert(cluster, DEPUTY_GAP, &[&lan_mac(cluster, &node)]);
    assert_eq!(owner(cluster, &address), node);
    answer(cluster, &address);
}

pub(crate) fn p6_addresses_are_answered_without_the_api_server(cluster: &Cluster) {
    let address = cluster.address_of("default", "nginxlb").unwrap();
    let before = owner(cluster, &address);
    cluster.stop_api_server().unwrap();
    let during = owner(cluster, &address);
    let answered = client(cluster).http(&address, 80);
    cluster.start_api_server().unwrap();
    answered.unwrap();
    cluster.wait_for_lodestone().unwrap();
    assert_eq!((during, owner(cluster, &address)), (before.clone(), before));
}
