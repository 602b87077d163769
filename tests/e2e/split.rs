//! What the speakers do when one of two networks fails, the one between the nodes or the one that addresses are announced on, and what users
//! are told: on a cluster whose nodes have an interface for each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is tests only"
)]

#[path = "split/preflight.rs"]
mod preflight;

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use lodestone_tests::{Cluster, Loss, NAMESPACE, Netns, Spec, Topology, checkout, images, wait_for, wait_until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// For so long it is looked whether nothing happens: many times what it takes to notice that a node is gone.
const LOOKS: usize = 20;

const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// The cluster of this file, for one test at a time.
fn cluster() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let spec = Spec {
            topology: Topology::Split,
            images: images().unwrap(),
            clients: 2,
            ..Spec::new(&format!("s{}", std::process::id()))
        };
        let cluster = Cluster::up(spec, Path::new(env!("CARGO_BIN_EXE_cluster"))).unwrap();
        cluster.install_lodestone(&[]).unwrap();
        let quickstart = std::fs::read_to_string(checkout().join("examples/quickstart.yaml")).unwrap();
        cluster.apply(&quickstart).unwrap();
        let ready = ["rollout", "status", "deployment/nginx-deployment", "--timeout=60s"];
        cluster.kubectl(&ready).unwrap();
        Mutex::new(cluster)
    });
    cluster.lock().unwrap_or_else(PoisonError::into_inner)
}

fn client(cluster: &Cluster) -> Netns {
    cluster.host("client1")
}

fn owner(cluster: &Cluster, address: &str) -> String {
    cluster.owner_of(address).unwrap()
}

/// A Service of its own for each test, that is announced; its address and who owns it.
fn service(cluster: &Cluster, name: &str) -> (String, String) {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "LoadBalancer", "selector": {"app": "nginx-deployment"}, "ports": [{"port": 80}]},
    });
    cluster.apply(&service.to_string()).unwrap();
    let address = cluster.address_of("default", name).unwrap();
    let node = owner(cluster, &address);
    (address, node)
}

fn label(cluster: &Cluster, node: &str, change: &str) {
    cluster
        .kubectl(&["label", "node", node, &format!("{EXCLUDE}{change}")])
        .unwrap();
}

fn moves_from(cluster: &Cluster, address: &str, node: &str) -> String {
    let mut other = String::new();
    wait_until(&format!("{address} to move from {node}"), LIMIT, || {
        other = owner(cluster, address);
        other != node
    })
    .unwrap();
    other
}

/// Waits for an event on a Service that names each of these nodes with why it may not announce.
fn says_of_each(cluster: &Cluster, service: &str, nodes: &[String], why: &str) -> anyhow::Result<()> {
    let field = format!("involvedObject.name={service},reason=announceFailed");
    // A speaker that has just been started may not have been heard at first: then there is another event later.
    wait_for(&format!("{service} to say of each node: {why}"), LIMIT, || {
        let events = cluster.get(&["-n", "default", "events", "--field-selector", &field])?;
        let texts = events["items"].as_array().into_iter().flatten();
        let mut texts = texts.filter_map(|event| event["message"].as_str());
        let each = |text: &str| {
            let of = |node: &String| {
                text.split(&format!("{node}: "))
                    .nth(1)
                    .is_some_and(|rest| said(rest).contains(why))
            };
            nodes.iter().all(of)
        };
        Ok(texts.any(each).then_some(()))
    })
}

/// What is said of one node, which ends where the next one's begins.
fn said(text: &str) -> &str {
    text.split("; ").next().unwrap_or_default()
}

#[test]
fn p1_a_node_that_is_cut_off_from_the_lan_loses_its_address_though_the_nodes_hear_it() {
    let cluster = cluster();
    let (address, node) = service(&cluster, "lan-cut");
    cluster.lose_on_lan(&node, Loss::All).unwrap();
    let other = moves_from(&cluster, &address, &node);
    let event = cluster.event("default", "lan-cut", "ownerMoved").unwrap();
    cluster.mend(&node).unwrap();
    assert!(
        event.contains(&format!("{address} moves here from node {node}: the node is silent")),
        "{event}"
    );
    // P3, P5: when it is back one owner is left, and that is the new one.
    cluster.wait_for_lodestone().unwrap();
    for _ in 0..LOOKS {
        let now = owner(&cluster, &address);
        let all = [
            "-n",
            NAMESPACE,
            "logs",
            "daemonset/lodestone-speaker",
            "--all-pods",
            "--prefix",
            "--tail=30",
        ];
        assert_eq!(now, other, "{}", cluster.kubectl(&all).unwrap());
    }
    client(&cluster).http(&address, 80).unwrap();
}

#[test]
fn p6_a_node_that_the_others_do_not_hear_keeps_its_address_while_it_answers_on_the_lan() {
    let cluster = cluster();
    let (address, node) = service(&cluster, "nodes-cut");
    // The control-plane node would take the API server along.
    let node = if node == "cp" {
        label(&cluster, "cp", "=");
        let other = moves_from(&cluster, &address, "cp");
        label(&cluster, "cp", "-");
        other
    } else {
        node
    };
    cluster.lose_on_node_network(&node, Loss::All).unwrap();
    for _ in 0..LOOKS {
        assert_eq!(owner(&cluster, &address), node);
    }
    cluster.mend(&node).unwrap();
    cluster.wait_for_lodestone().unwrap();
    assert_eq!(owner(&cluster, &address), node);
}

#[test]
fn p1_a_node_whose_cable_is_out_hands_its_address_over_and_takes_nothing_back() {
    let cluster = cluster();
    let (address, node) = service(&cluster, "cable");
    cluster.plug(&node, false).unwrap();
    let other = moves_from(&cluster, &address, &node);
    cluster.plug(&node, true).unwrap();
    for _ in 0..LOOKS {
        assert_eq!(owner(&cluster, &address), other);
    }
}

#[test]
fn p4_a_node_that_is_excluded_hands_its_address_over_and_says_why() {
    let cluster = cluster();
    let (address, node) = service(&cluster, "excluded");
    label(&cluster, &node, "=");
    moves_from(&cluster, &address, &node);
    let event = cluster.event("default", "excluded", "ownerMoved").unwrap();
    label(&cluster, &node, "-");
    assert!(event.contains(EXCLUDE), "{event}");
}

#[test]
fn where_all_nodes_are_excluded_the_service_says_so_of_each() {
    let cluster = cluster();
    let (_, _) = service(&cluster, "nobody");
    let nodes = cluster.spec().nodes();
    nodes.iter().for_each(|node| label(&cluster, node, "="));
    let told = says_of_each(&cluster, "nobody", &nodes, &format!("it has the label {EXCLUDE}"));
    nodes.iter().for_each(|node| label(&cluster, node, "-"));
    told.unwrap();
}

#[test]
fn interfaces_that_helm_excludes_by_name_are_left_alone_and_the_service_says_so() {
    let cluster = cluster();
    let (address, _) = service(&cluster, "by-name");
    // In place of the list that comes along: the bridge of the pods, too.
    let names = "speaker.excludeInterfaces.names={^lan,^eth,^cni,^veth}";
    cluster.upgrade_lodestone(&[names]).unwrap();
    let nodes = cluster.spec().nodes();
    let told = says_of_each(&cluster, "by-name", &nodes, "not excluded by its name");
    let answers = client(&cluster).who_has(&address);
    cluster.upgrade_lodestone(&[]).unwrap();
    told.unwrap();
    assert!(answers.unwrap().is_empty());
    owner(&cluster, &address);
}

#[test]
fn p5_an_address_that_a_foreign_host_has_is_not_announced_until_that_is_gone() {
    const TAKEN: &str = "192.168.122.119";
    let cluster = cluster();
    let foreign = cluster.host("client2");
    foreign
        .ip(&["addr", "add", &format!("{TAKEN}/24"), "dev", "eth0"])
        .unwrap();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "taken", "namespace": "default"},
        "spec": {
            "type": "LoadBalancer", "loadBalancerIP": TAKEN, "selector": {"app": "nginx-deployment"}, "ports": [{"port": 80}],
        },
    });
    cluster.apply(&service.to_string()).unwrap();
    let mac = foreign.mac("eth0").unwrap();
    let event = cluster.event("default", "taken", "addressConflict").unwrap();
    assert!(event.contains(&mac) && event.contains("not announced"), "{event}");
    assert_eq!(client(&cluster).who_has(TAKEN).unwrap(), [mac].into());
    foreign
        .ip(&["addr", "del", &format!("{TAKEN}/24"), "dev", "eth0"])
        .unwrap();
    owner(&cluster, TAKEN);
    client(&cluster).forget_neighbours().unwrap();
    client(&cluster).http(TAKEN, 80).unwrap();
}

#[test]
fn p6_where_much_is_lost_nothing_moves() {
    let cluster = cluster();
    let (address, node) = service(&cluster, "loss");
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
    assert_eq!(owner(&cluster, &address), node);
}

#[test]
fn a_speaker_tells_its_metrics() {
    let cluster = cluster();
    let (address, node) = service(&cluster, "metrics");
    let host = cluster.addresses(&node).unwrap().ipv4;
    let fetch = |what: &str| -> Option<String> {
        let pod = cluster.pod_of("speaker", Some(&node)).ok()?;
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9120/proxy/metrics");
        let text = cluster.kubectl(&["get", "--raw", &path]).ok()?;
        text.lines().find(|line| line.contains(what)).map(str::to_owned)
    };
    let announced = format!("service=\"default/metrics\",protocol=\"layer2\",node=\"{node}\",ip=\"{address}\"}} 1");
    wait_until(&format!("the metrics of {host}"), LIMIT, || fetch(&announced).is_some()).unwrap();
    assert!(fetch(&format!("metallb_layer2_responses_sent{{ip=\"{address}\"}}")).is_some());
    // What is gone is gone from them.
    cluster.kubectl(&["delete", "service", "metrics"]).unwrap();
    wait_until("the address to be gone from the metrics", LIMIT, || {
        fetch(&address).is_none()
    })
    .unwrap();
}

#[test]
fn p6_without_the_api_server_a_node_that_dies_is_replaced() {
    let cluster = cluster();
    let (address, mut node) = service(&cluster, "no-api");
    if node == "cp" {
        label(&cluster, "cp", "=");
        node = moves_from(&cluster, &address, "cp");
        label(&cluster, "cp", "-");
    }
    cluster.stop_api_server().unwrap();
    cluster.power_off(&node).unwrap();
    let macs = wait_for("another owner", LIMIT, || {
        let macs = client(&cluster).who_has(&address)?;
        let dead = cluster.host(&node).mac(cluster.lan_interface())?;
        Ok((macs.len() == 1 && !macs.contains(&dead)).then_some(macs))
    });
    cluster.start_api_server().unwrap();
    cluster.power_on(&node).unwrap();
    macs.unwrap();
    let ready = [
        "wait",
        "--for=condition=Ready",
        &format!("node/{node}"),
        "--timeout=120s",
    ];
    cluster.kubectl(&ready).unwrap();
    cluster.wait_for_lodestone().unwrap();
    let state: Value = cluster.get(&["-n", "default", "service", "no-api"]).unwrap();
    assert_eq!(state["status"]["loadBalancer"]["ingress"][0]["ip"], json!(address));
}
