//! Who answers for an address when others use it on the wire. One is a switch that probes for it,
//! another an owner whose messages do not arrive.

use std::{thread, time::Duration};

use lodestone_runtime::clock;
use lodestone_tests::{Cluster, Direction, NAMESPACE, Netns, wait_for, wait_until};
use serde_json::json;

use super::{WINDOW, cluster, wait_until_all_are_heard};
use crate::support::{LIMIT, announced, assert_owners_stay};

/// How long foreign probes may delay a new address.
const PROBE_DELAY: Duration = Duration::from_secs(15);

/// Probes for an address from 0.0.0.0 for half a minute, as switches do that track devices. It
/// probes every second for 4 s, and every 5 s from then on.
fn probe_like_a_switch(host: &Netns, address: &str) {
    let probe = r#"
        for pause in 1 1 1 1 5 5 5 5 5; do
            timeout 1 arping -D -q -c 1 -I eth0 "$1"
            sleep "$pause"
        done"#;
    // A probe fails when somebody answers, so the exit code says nothing here.
    host.tool("sh").args(["-c", probe, "sh", address]).output().unwrap();
}

/// The number of nodes that answer for an address during one second.
fn answering(cluster: &Cluster, address: &str) -> usize {
    cluster.host("client2").who_has(address).unwrap().len()
}

#[test]
fn p1_probes_of_a_switch_delay_a_new_address_by_seconds_only() {
    let cluster = cluster();
    let (address, switch) = ("192.168.122.119", cluster.host("client1"));
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "tracked", "namespace": "default"},
        "spec": {
            "type": "LoadBalancer", "loadBalancerIP": address, "selector": {"app": "nginx-deployment"}, "ports": [{"port": 80}],
        },
    });
    let (waited, delay) = thread::scope(|scope| {
        scope.spawn(|| probe_like_a_switch(&switch, address));
        cluster.apply(&service.to_string()).unwrap();
        let start = clock::now();
        let waited = wait_until("an answer", LIMIT, || answering(&cluster, address) == 1);
        (waited, clock::now() - start)
    });
    cluster.kubectl(&["delete", "service", "tracked"]).unwrap();
    waited.unwrap();
    assert!(delay < PROBE_DELAY, "{delay:?}");
}

#[test]
fn p5_one_node_answers_although_no_speaker_hears_another() {
    let cluster = cluster();
    let service = announced(&cluster, "deaf", &json!({}));
    let nodes = cluster.spec().nodes();
    for node in &nodes {
        cluster.block_speaker_messages(node, Direction::Both).unwrap();
    }
    // A speaker that owns nothing restarts, and hears nobody who could tell it of the owner.
    let other = nodes
        .iter()
        .find(|node| **node != service.owner && *node != "cp")
        .unwrap();
    let pod = cluster.pod_of("speaker", Some(other)).unwrap();
    cluster.process_of_pod(NAMESPACE, &pod).unwrap().kill();
    assert_owners_stay(&cluster, &[(&service, &service.owner)], WINDOW);
    let event = wait_for("an event that names the port of the speakers", LIMIT, || {
        let field = "involvedObject.name=deaf,reason=AddressConflict";
        let events = cluster.get(&["-n", "default", "events", "--field-selector", field])?;
        let messages = events["items"].as_array().into_iter().flatten();
        let mut messages = messages.filter_map(|event| event["message"].as_str());
        Ok(messages.find(|message| message.contains("UDP")).map(str::to_owned))
    });
    let answering: Vec<usize> = (0..WINDOW.as_secs())
        .map(|_| answering(&cluster, &service.address))
        .collect();
    for node in &nodes {
        cluster.restore_links(node).unwrap();
    }
    cluster.wait_for_lodestone().unwrap();
    wait_until_all_are_heard(&cluster);
    event.unwrap();
    assert!(answering.iter().all(|nodes| *nodes == 1), "{answering:?}");
    service.current_owner().unwrap();
}
