//! Speakers that start at different times.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use lodestone_tests::{Cluster, NAMESPACE, wait_until};
use serde_json::{Value, json};

use super::{cluster, resilience::lan_mac};
use crate::support::{Answers, DEPUTY_GAP, LIMIT, TestNamespace, speaker_logs, watch_connections, watch_lan};

/// The number of Services.
const SERVICES: usize = 30;

/// The only node with a speaker at first.
const FIRST: &str = "w1";

/// How long the other speakers start later.
const DELAY: Duration = Duration::from_secs(10);

/// How long the addresses may take to spread, at most: 22 of them move, one per second.
const SPREADING: Duration = Duration::from_secs(120);

/// How long the client goes on asking after the spreading.
const AFTER: Duration = Duration::from_secs(10);

/// How far a node may be from its fair share. The quickstart has an address, too.
const TOLERANCE: usize = 2;

/// How long two nodes may answer.
const LONGEST_OVERLAP: Duration = Duration::from_millis(500);

/// Nodes with this label get a speaker while [`require_label`] is in force.
const LABEL: &str = "lodestone-test/speaker";

/// Lets the speakers run on labelled nodes only, or on all.
fn require_label(cluster: &Cluster, required: bool) {
    let value = if required { json!("yes") } else { Value::Null };
    let patch = json!({"spec": {"template": {"spec": {"nodeSelector": {LABEL: value}}}}}).to_string();
    let command = ["patch", "daemonset", "lodestone-speaker", "--type=merge", "-p", &patch];
    kubectl(cluster, &[&["-n", NAMESPACE], &command[..]].concat());
}

fn set_label(cluster: &Cluster, nodes: &[String], value: &str) {
    for node in nodes {
        kubectl(cluster, &["label", "node", node, &format!("{LABEL}{value}")]);
    }
}

/// Prints an error. It shows in the next assertion.
fn kubectl(cluster: &Cluster, command: &[&str]) {
    if let Err(error) = cluster.kubectl(command) {
        eprintln!("{error:#}");
    }
}

/// Lets speakers run on all nodes again when it is dropped: other tests use the cluster, also when
/// this one fails.
struct AllNodesAgain<'a>(&'a Cluster);

impl Drop for AllNodesAgain<'_> {
    fn drop(&mut self) {
        let Self(cluster) = self;
        require_label(cluster, false);
        set_label(cluster, &cluster.spec().nodes(), "-");
        kubectl(cluster, &["-n", NAMESPACE, "delete", "l2advertisement", "cold-start"]);
        if let Err(error) = cluster.wait_for_lodestone() {
            eprintln!("{error:#}");
        }
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

/// Asserts that an address has moved once at most, and that somebody answered throughout.
fn assert_moved_once(cluster: &Cluster, address: IpAddr, answers: &Answers) {
    answers.assert_gap(cluster, DEPUTY_GAP);
    let overlap = answers.overlap();
    assert!(
        answers.macs.len() <= 2 && overlap < LONGEST_OVERLAP,
        "{address}: {answers:?}"
    );
}

/// Whether each node owns about its fair share.
fn is_spread(owners: &BTreeMap<IpAddr, String>, nodes: &[String]) -> bool {
    nodes.iter().all(|node| {
        let share = owners.values().filter(|owner| *owner == node).count();
        share.abs_diff(owners.len().div_ceil(nodes.len())) <= TOLERANCE
    })
}

/// The speaker of one node starts ten seconds before the others, for example because they have to
/// pull the image.
#[test]
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
    let _all_nodes_again = AllNodesAgain(&cluster);
    require_label(&cluster, true);
    wait_for_speakers(&cluster, 0);
    let node_of: BTreeMap<String, String> = nodes
        .iter()
        .map(|node| (lan_mac(&cluster, node), node.clone()))
        .collect();
    let owners = watch_lan(&cluster, &addresses, |watch| {
        let owners = || -> BTreeMap<IpAddr, String> {
            let macs = watch.last_answers().into_iter();
            macs.map(|(address, mac)| (address, node_of[&mac].clone())).collect()
        };
        set_label(&cluster, &first, "=yes");
        watch.wait_for(DELAY);
        assert!(owners().values().all(|node| node == FIRST), "{:?}", owners());
        let connections = watch_connections(&cluster, &addresses, || {
            set_label(&cluster, &others, "=yes");
            wait_until("the addresses to spread", SPREADING, || is_spread(&owners(), &nodes)).unwrap();
            watch.wait_for_more(AFTER);
        });
        connections.assert_none_failed(&cluster);
        for (address, answers) in watch.take_answers() {
            assert_moved_once(&cluster, address, &answers);
        }
        owners()
    });
    assert!(is_spread(&owners, &nodes), "{owners:?}\n{}", speaker_logs(&cluster));
    let (moved, _) = owners.iter().find(|(_, node)| *node != FIRST).unwrap();
    let event = cluster
        .wait_for_event(&ns.name, services[&moved.to_string()], "Rebalanced")
        .unwrap();
    assert!(
        event.contains("the former owner took it while other nodes were missing"),
        "{event}"
    );
}
