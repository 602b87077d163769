//! Processes that are killed, frozen and restarted.

use lodestone_tests::{NAMESPACE, wait_until};
use serde_json::json;

use super::{LIMIT, Space, answer, client, cluster, owner};

#[test]
fn p2_when_the_speaker_is_killed_the_address_goes_on_being_answered_for_with_the_same_mac() {
    let cluster = cluster();
    let space = Space::new(&cluster, "killed");
    space.pods("web", 2);
    space.service("web", "web", &json!({}));
    let address = space.address("web");
    let node = owner(&cluster, &address);
    let pod = cluster.pod_of("speaker", Some(&node)).unwrap();
    cluster.process_of_pod(NAMESPACE, &pod).unwrap().kill();
    assert_eq!(owner(&cluster, &address), node);
    answer(&cluster, &address);
    cluster.wait_for_lodestone().unwrap();
    assert_eq!(owner(&cluster, &address), node);
}

#[test]
fn p2_when_the_speaker_is_frozen_another_one_answers_for_it_with_its_mac_and_nothing_moves() {
    let cluster = cluster();
    let space = Space::new(&cluster, "frozen");
    space.pods("web", 2);
    space.service("web", "web", &json!({}));
    let address = space.address("web");
    let node = owner(&cluster, &address);
    let process = cluster
        .process_of_pod(NAMESPACE, &cluster.pod_of("speaker", Some(&node)).unwrap())
        .unwrap();
    process.freeze();
    client(&cluster).forget_neighbours().unwrap();
    assert_eq!(owner(&cluster, &address), node);
    answer(&cluster, &address);
    process.thaw();
    cluster.wait_for_lodestone().unwrap();
    assert_eq!(owner(&cluster, &address), node);
    answer(&cluster, &address);
}

#[test]
fn when_a_node_loses_its_power_another_one_takes_over_and_it_comes_back() {
    let cluster = cluster();
    let space = Space::new(&cluster, "power");
    space.pods("web", 3);
    space.service("web", "web", &json!({}));
    let address = space.address("web");
    let node = owner(&cluster, &address);
    // The one with the API server is not for this test.
    let node = if node == "cp" {
        let label = "node.kubernetes.io/exclude-from-external-load-balancers";
        cluster.kubectl(&["label", "node", "cp", &format!("{label}=")]).unwrap();
        let mut other = node;
        // The new owner begins before the old one stops: for a moment both answer.
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
    cluster.power_off(&node).unwrap();
    // While it is in doubt another one answers with the MAC of the owner.
    let mut other = node.clone();
    wait_until("another owner", LIMIT, || {
        other = owner(&cluster, &address);
        other != node
    })
    .unwrap();
    cluster.bring_back(&node).unwrap();
    cluster.wait_for_lodestone().unwrap();
    assert_eq!(owner(&cluster, &address), other);
}

#[test]
fn a_rolling_restart_of_the_controller_changes_no_address() {
    let cluster = cluster();
    let space = Space::new(&cluster, "rolling-controller");
    space.pods("web", 1);
    for name in ["a", "b", "c"] {
        space.service(name, "web", &json!({}));
    }
    let addresses = || ["a", "b", "c"].map(|name| space.address(name));
    let before = addresses();
    cluster
        .kubectl(&["-n", NAMESPACE, "rollout", "restart", "deployment/lodestone-controller"])
        .unwrap();
    // A Service that comes meanwhile gets an address of its own.
    space.service("d", "web", &json!({}));
    let new = space.address("d");
    cluster.wait_for_lodestone().unwrap();
    assert_eq!((addresses(), before.contains(&new)), (before.clone(), false));
    before.iter().for_each(|address| drop(owner(&cluster, address)));
}

#[test]
fn p2_a_rolling_restart_of_the_speakers_changes_no_address_and_no_owner() {
    let cluster = cluster();
    let space = Space::new(&cluster, "rolling-speakers");
    space.pods("web", 2);
    for name in ["a", "b"] {
        space.service(name, "web", &json!({}));
    }
    let before = ["a", "b"].map(|name| space.address(name));
    let owners = || {
        before
            .iter()
            .map(|address| owner(&cluster, address))
            .collect::<Vec<_>>()
    };
    let owned_by = owners();
    cluster
        .kubectl(&["-n", NAMESPACE, "rollout", "restart", "daemonset/lodestone-speaker"])
        .unwrap();
    cluster.wait_for_lodestone().unwrap();
    assert_eq!(["a", "b"].map(|name| space.address(name)), before);
    assert_eq!(owners(), owned_by);
    for address in &before {
        answer(&cluster, address);
    }
}

#[test]
fn p6_without_the_api_server_the_addresses_go_on_being_answered_for() {
    let cluster = cluster();
    let address = cluster.address_of("default", "nginxlb").unwrap();
    let before = owner(&cluster, &address);
    cluster.stop_api_server().unwrap();
    let during = owner(&cluster, &address);
    let answered = client(&cluster).http(&address, 80);
    cluster.start_api_server().unwrap();
    answered.unwrap();
    cluster.wait_for_lodestone().unwrap();
    assert_eq!((during, owner(&cluster, &address)), (before.clone(), before));
}
