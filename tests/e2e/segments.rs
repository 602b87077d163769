//! The promises on each layout of networks: with an overlay device, a second network, two ports on
//! one segment, a bridge. A host on the LAN asks for an address of each family through the whole
//! test.

mod steps;

use lodestone_tests::{Cluster, Layout, Spec, images};
use serde_json::json;
use steps::Steps;

use crate::support::{announced, cluster_program, ipv6_only, watch_lan};

/// Does to the owners what the promises speak about, on three workers with this layout.
fn assert_promises(prefix: &str, layout: Layout) {
    let spec = Spec::unique(prefix).layout(layout).images(images().unwrap());
    let cluster = Cluster::up(spec, cluster_program()).unwrap();
    cluster.install_lodestone(&[]).unwrap();
    cluster.apply_ipv6_pool().unwrap();
    // Owners lose their network. The node with the API server owns no address.
    let exclude = "node.kubernetes.io/exclude-from-external-load-balancers=";
    cluster.kubectl(&["label", "node", "cp", exclude]).unwrap();
    cluster.apply_quickstart().unwrap();
    let services = [
        announced(&cluster, "four", &json!({})),
        announced(&cluster, "six", &ipv6_only()),
    ];
    let addresses = [&*services[0].address, &*services[1].address];
    watch_lan(&cluster, &addresses, |watch| {
        let steps = Steps::new(&cluster, watch, addresses[0], layout);
        steps.kill_the_speakers_of_the_owners();
        if matches!(layout, Layout::SecondPort | Layout::SecondPortWithAddress) {
            steps.pull_the_cable_of_the_first_port();
        }
        steps.prefer_another_node();
        steps.stop_forwarding_to_the_owner();
        steps.separate_the_owners();
    });
}

#[test]
fn p1_p2_p4_p5_hold_on_a_flat_network() {
    assert_promises("sf", Layout::Flat);
}

#[test]
fn p1_p2_p4_p5_hold_on_two_networks() {
    assert_promises("s2", Layout::Split);
}

#[test]
fn p1_p2_p4_p5_hold_beside_an_overlay_device() {
    assert_promises("so", Layout::Overlay);
}

#[test]
fn p1_p2_p4_p5_hold_beside_a_second_shared_network() {
    assert_promises("ss", Layout::Storage);
}

#[test]
fn p1_p2_p4_p5_hold_with_two_ports_on_the_lan() {
    assert_promises("sp", Layout::SecondPort);
}

#[test]
fn p1_p2_p4_p5_hold_with_addresses_on_both_ports() {
    assert_promises("sa", Layout::SecondPortWithAddress);
}

#[test]
fn p1_p2_p4_p5_hold_with_a_bridge_over_the_port() {
    assert_promises("sb", Layout::Bridge);
}
