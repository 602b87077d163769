//! Each layout of networks: it is what its name says, the cluster comes up, and a Service answers.
//!
//! The tests of the promises on these layouts are elsewhere.

use std::collections::BTreeSet;

use lodestone_tests::{Cluster, Layout, OVERLAY_INTERFACE, Spec, images, wait_until};
use serde_json::Value;

use crate::support::{LIMIT, client, cluster_program};

/// Starts a cluster of three nodes with these layouts, Lodestone and the quickstart.
fn start(prefix: &str, layouts: &[Layout]) -> Cluster {
    let spec = Spec::unique(prefix).workers(2).images(images().unwrap());
    let spec = layouts.iter().copied().fold(spec, Spec::layout);
    let cluster = Cluster::up(spec, cluster_program()).unwrap();
    cluster.install_lodestone(&[]).unwrap();
    cluster.apply_quickstart().unwrap();
    cluster
}

/// A host on the LAN gets answers from all three pods, wherever they run.
fn assert_the_service_answers(cluster: &Cluster) {
    let address = cluster.address_of("default", "nginxlb").unwrap();
    let mut pods = BTreeSet::new();
    wait_until("answers from all pods", LIMIT, || {
        if let Ok(mut answer) = client(cluster).http(&address, 80) {
            pods.extend(answer.remove("pod"));
        }
        pods.len() == 3
    })
    .unwrap();
}

/// What `ip` says about an interface of a node.
fn interface(cluster: &Cluster, node: &str, name: &str) -> Value {
    let text = cluster.host(node).ip(&["-j", "-s", "address", "show", name]).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

/// The IPv4 addresses of an interface of a node.
fn ipv4_addresses(cluster: &Cluster, node: &str, name: &str) -> Vec<String> {
    let interface = interface(cluster, node, name);
    let addresses = interface["addr_info"].as_array().unwrap().iter();
    addresses
        .filter(|address| address["family"] == "inet")
        .map(|address| format!("{}/{}", address["local"].as_str().unwrap(), address["prefixlen"]))
        .collect()
}

/// Whether a node gets an answer to a ping that it sends from an interface.
fn ping(cluster: &Cluster, node: &str, interface: &str, to: &str) -> bool {
    let args = ["-c", "1", "-W", "1", "-I", interface, to];
    cluster
        .host(node)
        .tool("ping")
        .args(args)
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn service_answers_when_pods_use_an_overlay() {
    let cluster = start("ov", &[Layout::Overlay]);
    assert_the_service_answers(&cluster);
    for node in cluster.spec().nodes() {
        let overlay = interface(&cluster, &node, OVERLAY_INTERFACE);
        assert!(
            overlay["flags"].as_array().unwrap().contains(&"LOWER_UP".into()),
            "{overlay}"
        );
        assert_eq!(ipv4_addresses(&cluster, &node, OVERLAY_INTERFACE).len(), 1, "{overlay}");
    }
    // The traffic between pods goes through it.
    let received = interface(&cluster, "w1", OVERLAY_INTERFACE)["stats64"]["rx"]["packets"].as_u64();
    assert!(received.unwrap() > 0);
}

#[test]
fn service_answers_when_nodes_share_a_second_network() {
    let cluster = start("st", &[Layout::Storage]);
    assert_the_service_answers(&cluster);
    assert_eq!(ipv4_addresses(&cluster, "w1", "eth1"), ["10.10.10.11/24"]);
    assert!(ping(&cluster, "w1", "eth1", "10.10.10.12"));
    let internal = cluster.addresses("w1").unwrap().ipv4;
    assert_eq!(ipv4_addresses(&cluster, "w1", "eth0"), [format!("{internal}/24")]);
}

#[test]
fn service_answers_when_nodes_have_a_second_port_on_the_lan() {
    let cluster = start("tp", &[Layout::SecondPort]);
    assert_the_service_answers(&cluster);
    assert_eq!(ipv4_addresses(&cluster, "w1", "port2"), Vec::<String>::new());
    // The port receives the broadcasts of the LAN.
    let received = || interface(&cluster, "w1", "port2")["stats64"]["rx"]["packets"].as_u64();
    let before = received();
    client(&cluster).who_has("192.168.122.250").unwrap();
    assert!(received() > before);
}

#[test]
fn service_answers_when_the_second_port_has_an_address() {
    let cluster = start("ta", &[Layout::SecondPortWithAddress]);
    assert_the_service_answers(&cluster);
    assert_eq!(ipv4_addresses(&cluster, "w1", "port2"), ["192.168.122.51/24"]);
    assert!(ping(&cluster, "w1", "port2", "192.168.122.1"));
}

#[test]
fn service_answers_when_the_node_address_is_on_a_bridge() {
    let cluster = start("br", &[Layout::Bridge]);
    assert_the_service_answers(&cluster);
    assert_eq!(ipv4_addresses(&cluster, "w1", "br0"), ["192.168.122.11/24"]);
    assert_eq!(interface(&cluster, "w1", "eth0")["master"], "br0");
}

#[test]
fn service_answers_on_a_combination_of_layouts() {
    let cluster = start(
        "co",
        &[
            Layout::Split,
            Layout::Overlay,
            Layout::Storage,
            Layout::SecondPort,
            Layout::Bridge,
        ],
    );
    assert_the_service_answers(&cluster);
    assert_eq!(ipv4_addresses(&cluster, "w1", "br0"), ["192.168.122.11/24"]);
    assert_eq!(ipv4_addresses(&cluster, "w1", "eth0"), ["10.10.0.11/24"]);
    assert_eq!(ipv4_addresses(&cluster, "w1", "eth1"), ["10.10.10.11/24"]);
}
