//! Speakers that start at different times.

use std::{collections::BTreeMap, thread::sleep, time::Duration};

use lodestone_tests::{Cluster, NAMESPACE, wait_until};
use serde_json::{Value, json};

use super::{cluster, node_of};
use crate::support::{Answers, LIMIT, Requests, TestNamespace, record_answers, speaker_logs};

/// The number of Services.
const SERVICES: usize = 30;

/// The only node with a speaker at first.
const FIRST: &str = "w1";

/// How long the other speakers start later.
const DELAY: Duration = Duration::from_secs(10);

/// How long the addresses are watched: the first speaker starts, then the others; all are there
/// for ten seconds; 22 addresses move, one per second.
const WATCH: Duration = Duration::from_secs(100);

/// The client must ask for this long after the first answer for an address.
const LEAST_WATCH: Duration = Duration::from_secs(60);

/// The requests for each address in a second.
const RATE: u32 = 4;

/// How long nobody may answer. A client that gets no answer asks again after a second.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// How long two nodes may answer. The requests are far apart.
const LONGEST_OVERLAP: f64 = 0.5;

/// Nodes with this label get a speaker while [`require_label`] is in force.
const LABEL: &str = "lodestone-test/speaker";

/// Lets the speakers run on labelled nodes only, or on all.
fn require_label(cluster: &Cluster, required: bool) {
    let value = if required { json!("yes") } else { Value::Null };
    let patch = json!({"spec": {"template": {"spec": {"nodeSelector": {LABEL: value}}}}}).to_string();
    let command = ["patch", "daemonset", "lodestone-speaker", "--type=merge", "-p", &patch];
    cluster.kubectl(&[&["-n", NAMESPACE], &command[..]].concat()).unwrap();
}

fn set_label(cluster: &Cluster, nodes: &[String], value: &str) {
    for node in nodes {
        cluster
            .kubectl(&["label", "node", node, &format!("{LABEL}{value}")])
            .unwrap();
    }
}

/// Waits until this many speakers exist.
fn wait_for_speakers(cluster: &Cluster, count: usize) {
    let pods = ["get", "pods", "-l", "app.kubernetes.io/component=speaker", "-o", "name"];
    wait_until(&format!("{count} speakers"), LIMIT, || {
        let names = cluster.kubectl(&[&["-n", NAMESPACE], &pods[..]].concat());
        names.is_ok_and(|names| names.lines().count() == count)
    })
    .unwrap();
}

/// The node that answered last for each address. Asserts that an address has moved once at most,
/// and that somebody answered throughout.
fn last_owners(cluster: &Cluster, answers: BTreeMap<String, Answers>) -> BTreeMap<String, String> {
    let owners = answers.into_iter().map(|(address, answers)| {
        let gap = answers.longest_gap;
        let [first, .., last] = &answers.all[..] else {
            panic!("{address}: {answers:?}")
        };
        assert!(
            gap < LONGEST_GAP,
            "nobody answered for {address} for {gap:?}: {answers:?}"
        );
        assert_eq!(node_of(cluster, &first.mac), FIRST, "{address}");
        assert!(answers.macs.len() <= 2, "{address} has moved twice: {:?}", answers.macs);
        if first.mac != last.mac {
            let ended = answers.all.iter().rfind(|answer| answer.mac == first.mac).unwrap().time;
            let began = answers.all.iter().find(|answer| answer.mac == last.mac).unwrap().time;
            let overlap = ended - began;
            assert!(overlap < LONGEST_OVERLAP, "{address}: two answer for {overlap} s");
        }
        let owner = node_of(cluster, &last.mac);
        (address, owner)
    });
    owners.collect()
}

/// The speaker of one node starts ten seconds before the others, for example because they have to
/// pull the image.
#[test]
#[expect(clippy::disallowed_methods, reason = "the speakers start at different times")]
fn p3_p4_addresses_that_the_first_speaker_took_are_spread_without_a_gap() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "cold-start");
    ns.deploy("web", 2);
    ns.pool("cold-start", &["192.168.122.140-192.168.122.169"], &json!({}));
    let advertisement = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement",
        "metadata": {"name": "cold-start", "namespace": NAMESPACE}, "spec": {"ipAddressPools": ["cold-start"]},
    });
    cluster.apply(&advertisement.to_string()).unwrap();
    let names: Vec<String> = (0..SERVICES).map(|number| format!("web-{number}")).collect();
    for name in &names {
        let pool = json!({"metallb.io/address-pool": "cold-start"});
        ns.apply(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "annotations": pool},
            "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
        }));
    }
    let services: BTreeMap<String, &str> = names.iter().map(|name| (ns.address(name), name.as_str())).collect();
    let addresses: Vec<&str> = services.keys().map(String::as_str).collect();
    let nodes = cluster.spec().nodes();
    let (first, others): (Vec<String>, Vec<String>) = nodes.iter().cloned().partition(|node| node == FIRST);
    require_label(&cluster, true);
    wait_for_speakers(&cluster, 0);
    let requests = Requests {
        addresses: &addresses,
        per_second: RATE,
        time: WATCH,
        // No speaker runs yet.
        await_answer: false,
    };
    let answers = record_answers(&cluster, &requests, LEAST_WATCH, || {
        set_label(&cluster, &first, "=yes");
        wait_for_speakers(&cluster, 1);
        cluster.wait_for_lodestone().unwrap();
        sleep(DELAY);
        set_label(&cluster, &others, "=yes");
        wait_for_speakers(&cluster, nodes.len());
        cluster.wait_for_lodestone().unwrap();
    });
    let logs = speaker_logs(&cluster);
    // Other tests use this cluster, also when this one fails.
    require_label(&cluster, false);
    cluster.wait_for_lodestone().unwrap();
    set_label(&cluster, &nodes, "-");
    let delete = ["-n", NAMESPACE, "delete", "l2advertisement", "cold-start"];
    cluster.kubectl(&delete).unwrap();
    let owners = last_owners(&cluster, answers);
    // The quickstart has an address too, so a node may own one of these less than its share.
    let fair_share = SERVICES.div_ceil(nodes.len());
    for node in &nodes {
        let share = owners.values().filter(|owner| *owner == node).count();
        assert!(
            share.abs_diff(fair_share) <= 2,
            "{node} owns {share}: {owners:?}\n{logs}"
        );
    }
    let (moved, _) = owners.iter().find(|(_, node)| *node != FIRST).unwrap();
    let event = cluster.wait_for_event(&ns.name, services[moved], "Rebalanced").unwrap();
    assert!(
        event.contains("the former owner took it while other nodes were missing"),
        "{event}"
    );
}
