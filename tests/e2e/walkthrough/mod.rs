//! The project's main job, sentence by sentence, on a cluster of a control-plane node and three workers. The tests of one file share
//! one cluster, one after another; each has a namespace of its own and leaves Lodestone installed, with the quickstart applied.

mod configuration;
mod install;
mod ipv6;
mod quickstart;
mod resilience;
mod services;

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use lodestone_tests::{Answer, Cluster, Netns, Spec, images, wait_for};
use serde_json::{Value, json};

/// Generous: a limit says that something is broken, not that it is slow.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The cluster of this file, for one test at a time. It goes when the process does: its supervisor sees to that.
pub(crate) fn cluster() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let name = format!("t{}", std::process::id());
        let spec = Spec {
            proxy_mode: super::MODE,
            images: images().unwrap(),
            ..Spec::new(&name)
        };
        let cluster = Cluster::up(spec, Path::new(env!("CARGO_BIN_EXE_cluster"))).unwrap();
        cluster.install_lodestone(&[]).unwrap();
        cluster.apply_quickstart().unwrap();
        Mutex::new(cluster)
    });
    // A test that failed leaves the cluster to the others.
    cluster.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A namespace of one test.
pub(crate) struct Space<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) name: String,
}

impl<'a> Space<'a> {
    pub(crate) fn new(cluster: &'a Cluster, name: &str) -> Self {
        cluster.kubectl(&["create", "namespace", name]).unwrap();
        Self {
            cluster,
            name: name.to_owned(),
        }
    }

    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        self.cluster.kubectl(&[&["-n", &self.name], args].concat()).unwrap()
    }

    /// Pods of the test server, which know their node, and waits until they are ready.
    pub(crate) fn pods(&self, name: &str, replicas: u8) {
        let node_name = json!({"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}});
        let container = json!({
            "name": "server", "image": "nginx:1.29", "env": [node_name],
            "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1},
        });
        self.apply(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
                },
            },
        }));
        self.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=60s"]);
    }

    /// A Service of type LoadBalancer for the pods `app`; `more` is put into its specification.
    pub(crate) fn service(&self, name: &str, app: &str, more: &Value) {
        let mut spec = json!({
            "type": "LoadBalancer", "selector": {"app": app}, "ports": [{"name": "http", "port": 80}],
        });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        self.apply(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}));
    }

    pub(crate) fn apply(&self, object: &Value) {
        let mut object = object.clone();
        object["metadata"]["namespace"] = self.name.as_str().into();
        self.cluster.apply(&object.to_string()).unwrap();
    }

    pub(crate) fn address(&self, service: &str) -> String {
        self.cluster.address_of(&self.name, service).unwrap()
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        // The Services first, and for good: their addresses are for the next test.
        for args in [
            vec!["-n", &self.name, "delete", "services", "--all"],
            vec!["delete", "namespace", &self.name, "--wait=false"],
        ] {
            if let Err(error) = self.cluster.kubectl(&args) {
                eprintln!("{error:#}");
            }
        }
    }
}

/// The host on the LAN that is no member of the cluster.
pub(crate) fn client(cluster: &Cluster) -> Netns {
    cluster.host("client1")
}

/// The node whose interface on the LAN has this MAC.
pub(crate) fn node_of(cluster: &Cluster, mac: &str) -> String {
    let nodes = cluster.spec().nodes();
    let has = |node: &String| cluster.host(node).mac(cluster.lan_interface()).unwrap() == mac;
    nodes
        .into_iter()
        .find(has)
        .unwrap_or_else(|| panic!("no node has {mac}"))
}

/// The node that answers for an address, once one does; no other one may.
pub(crate) fn owner(cluster: &Cluster, address: &str) -> String {
    let macs = wait_for(&format!("an answer for {address}"), LIMIT, || {
        Ok(Some(client(cluster).who_has(address)?).filter(|macs| !macs.is_empty()))
    });
    let macs: Vec<String> = macs.unwrap().into_iter().collect();
    assert_eq!(macs.len(), 1, "more than one node answers for {address}: {macs:?}");
    node_of(cluster, &macs[0])
}

/// What the test server says to the host on the LAN, once it does: kube-proxy hears of a Service when the speaker does, and not before.
pub(crate) fn answer(cluster: &Cluster, address: &str) -> Answer {
    wait_for(&format!("an answer from http://{address}"), LIMIT, || {
        client(cluster).http(address, 80).map(Some)
    })
    .unwrap()
}
