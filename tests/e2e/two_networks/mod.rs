//! What the speakers do when one of two networks fails, the one between the nodes or the one that addresses are announced on, and what users
//! are told: on a cluster whose nodes have an interface for each.

mod events;
mod failures;

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use lodestone_tests::{Announced, Cluster, Netns, Spec, Topology, images};
use serde_json::{Value, json};

pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// For so long it is looked whether nothing happens: many times what it takes to notice that a node is gone.
const LOOKS: usize = 20;

const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// The cluster of this file, for one test at a time.
pub(crate) fn cluster() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let spec = Spec {
            topology: Topology::Split,
            workers: super::WORKERS,
            images: images().unwrap(),
            clients: 2,
            ..Spec::new(&format!("s{}", std::process::id()))
        };
        let cluster = Cluster::up(spec, Path::new(env!("CARGO_BIN_EXE_cluster"))).unwrap();
        cluster.install_lodestone(&[]).unwrap();
        cluster.apply_ipv6_pool().unwrap();
        cluster.apply_quickstart().unwrap();
        Mutex::new(cluster)
    });
    cluster.lock().unwrap_or_else(PoisonError::into_inner)
}

fn client(cluster: &Cluster) -> Netns {
    cluster.host("client1")
}

/// A Service of its own for each test, that is announced.
fn announced<'a>(cluster: &'a Cluster, name: &'static str, more: &Value) -> Announced<'a> {
    Announced::new(cluster, name, more).unwrap()
}

/// Of IPv6 alone.
fn six() -> Value {
    json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]})
}

fn label(cluster: &Cluster, node: &str, change: &str) {
    cluster
        .kubectl(&["label", "node", node, &format!("{EXCLUDE}{change}")])
        .unwrap();
}
