//! Five workers: enemies on the network of the speakers, nodes that come and go, and a cluster that falls apart. The tests share one cluster,
//! one after another, and leave it as they found it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is tests only"
)]

#[path = "peers/attackers.rs"]
mod attackers;
#[path = "peers/nodes.rs"]
mod nodes;

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use lodestone_tests::{Announced, Cluster, NAMESPACE, Netns, Spec, images, wait_until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// For so long it is looked whether nothing happens: many times what it takes to notice that a node is gone.
const LOOKS: usize = 8;

/// The cluster of this file, for one test at a time.
fn cluster() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let spec = Spec {
            workers: 5,
            images: images().unwrap(),
            clients: 2,
            ..Spec::new(&format!("p{}", std::process::id()))
        };
        let cluster = Cluster::up(spec, Path::new(env!("CARGO_BIN_EXE_cluster"))).unwrap();
        cluster.install_lodestone(&[]).unwrap();
        cluster.apply_ipv6_pool().unwrap();
        // The API server is there: its node is neither to lose its power nor to be parted from the others.
        let exclude = "node.kubernetes.io/exclude-from-external-load-balancers=";
        cluster.kubectl(&["label", "node", "cp", exclude]).unwrap();
        cluster.apply_quickstart().unwrap();
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

fn announced<'a>(cluster: &'a Cluster, name: &'static str, more: &Value) -> Announced<'a> {
    Announced::new(cluster, name, more).unwrap()
}

/// The owner stays what it was, however often it is looked.
fn stays(cluster: &Cluster, service: &Announced<'_>) {
    for _ in 0..LOOKS {
        let now = service.owner_now().unwrap();
        assert_eq!(now, service.owner, "{}", last_words(cluster));
    }
}

/// A Service of IPv6 alone.
fn six() -> Value {
    json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]})
}

/// What the speakers have said of late.
fn last_words(cluster: &Cluster) -> String {
    let logs = [
        "logs",
        "daemonset/lodestone-speaker",
        "--all-pods",
        "--prefix",
        "--tail=40",
    ];
    cluster
        .kubectl(&[&["-n", NAMESPACE], &logs[..]].concat())
        .unwrap_or_default()
}

/// A line of a speaker's metrics.
fn metric(cluster: &Cluster, node: &str, what: &str) -> Option<String> {
    let pod = cluster.pod_of("speaker", Some(node)).ok()?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9120/proxy/metrics");
    let text = cluster.kubectl(&["get", "--raw", &path]).ok()?;
    text.lines().find(|line| line.starts_with(what)).map(str::to_owned)
}

/// Waits until every speaker hears every other one.
fn all_hear_all(cluster: &Cluster) {
    let nodes = cluster.spec().nodes();
    wait_until("all speakers to hear each other", LIMIT, || {
        nodes.iter().all(|node| {
            let others = nodes.iter().filter(|other| *other != node);
            let heard = |other: &String| {
                let line = format!("lodestone_speaker_peer_silent{{node=\"{other}\"}} 0");
                metric(cluster, node, &line).is_some()
            };
            others.clone().all(heard)
        })
    })
    .unwrap();
}

/// Gives a node its power back, and waits until all is well.
fn power_on(cluster: &Cluster, node: &str) {
    cluster.bring_back(node).unwrap();
    cluster.wait_for_lodestone().unwrap();
    all_hear_all(cluster);
}
