//! The tests of this file share one cluster, one after another. Each has a namespace, pools and addresses of its own, and takes them away.

mod address_retention;
mod allocation;
mod families;
mod sharing;
mod status;
mod webhook;

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use lodestone_tests::{Cluster, NAMESPACE, Spec, images, wait_for, wait_until};
use serde_json::{Value, json};

/// Generous: a limit says that something is broken, not that it is slow.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The Deployment of the controller.
pub(crate) const CONTROLLER: &str = "deployment/lodestone-controller";

/// The cluster of this file, for one test at a time. It goes when the process does: its supervisor sees to that.
pub(crate) fn cluster() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let spec = Spec {
            workers: 1,
            images: images().unwrap(),
            ..Spec::new(&format!("c{}", std::process::id()))
        };
        let cluster = Cluster::up(spec, Path::new(env!("CARGO_BIN_EXE_cluster"))).unwrap();
        cluster.install_lodestone(&[]).unwrap();
        Mutex::new(cluster)
    });
    // A test that failed leaves the cluster to the others.
    cluster.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one test makes, and takes away again.
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

    /// A pool that only this namespace may use, unless `more` says something else of it.
    pub(crate) fn pool(&self, name: &str, addresses: &[&str], more: &Value) {
        self.try_pool(name, addresses, more).unwrap();
    }

    /// As [`Self::pool`]; gives what kubectl says.
    pub(crate) fn try_pool(&self, name: &str, addresses: &[&str], more: &Value) -> anyhow::Result<String> {
        let mut spec = json!({"addresses": addresses, "serviceAllocation": {"namespaces": [self.name]}});
        merge(&mut spec, more);
        let labels = json!({"test": self.name});
        let object = json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels}, "spec": spec,
        });
        self.cluster.apply(&object.to_string())
    }

    /// Applies a Service of type LoadBalancer with one port; `more` is merged into the object.
    pub(crate) fn service(&self, name: &str, more: &Value) {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": self.name},
            "spec": {"type": "LoadBalancer", "ports": [{"name": "a", "port": 80}]},
        });
        merge(&mut object, more);
        self.cluster.apply(&object.to_string()).unwrap();
    }

    /// Changes a Service; `null` takes a field away.
    pub(crate) fn patch(&self, name: &str, patch: &Value) {
        self.kubectl(&["patch", "service", name, "--type=merge", "-p", &patch.to_string()]);
    }

    /// Writes a status into a Service, as an administrator might.
    pub(crate) fn patch_status(&self, name: &str, addresses: &[&str]) {
        let ingress: Vec<_> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
        let patch = json!({"status": {"loadBalancer": {"ingress": ingress}}}).to_string();
        self.kubectl(&[
            "patch",
            "service",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ]);
    }

    /// The addresses that the status of a Service says.
    pub(crate) fn has(&self, name: &str) -> Vec<String> {
        let path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
        let text = self.kubectl(&["get", "service", name, "-o", path]);
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Waits until the status of a Service says these addresses.
    pub(crate) fn gets(&self, name: &str, addresses: &[&str]) {
        let waited = wait_until(&format!("{addresses:?} for {name}"), LIMIT, || {
            self.has(name) == addresses
        });
        assert!(waited.is_ok(), "{name} has {:?} and not {addresses:?}", self.has(name));
    }

    /// Waits for an event of this reason whose text holds `part`.
    pub(crate) fn told(&self, name: &str, reason: &str, part: &str) {
        let field = format!("involvedObject.name={name},reason={reason}");
        let waited = wait_until(&format!("the event {reason} on {name}: {part}"), LIMIT, || {
            self.kubectl(&[
                "get",
                "events",
                "--field-selector",
                &field,
                "-o",
                "jsonpath={.items[*].message}",
            ])
            .contains(part)
        });
        assert!(waited.is_ok(), "{:?}", self.kubectl(&["get", "events"]));
    }

    /// Waits until the controller has looked at everything that was applied before: it gives an address to another Service of the
    /// youngest kind, from a pool that is there for that.
    pub(crate) fn settled(&self) {
        self.pool("marker", &["10.255.255.255/32"], &json!({"autoAssign": false}));
        self.service("marker", &annotated("address-pool", "marker"));
        self.gets("marker", &["10.255.255.255"]);
        self.kubectl(&["delete", "service", "marker"]);
        self.cluster
            .kubectl(&["-n", NAMESPACE, "delete", "ipaddresspool", "marker"])
            .unwrap();
    }

    /// An annotation of a Service; empty: it has none.
    pub(crate) fn annotation(&self, name: &str, key: &str) -> String {
        let object = self.cluster.get(&["-n", &self.name, "service", name]).unwrap();
        object["metadata"]["annotations"][key]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        let label = format!("test={}", self.name);
        for args in [
            vec!["-n", &self.name, "delete", "services", "--all"],
            vec!["-n", NAMESPACE, "delete", "ipaddresspools", "-l", &label],
            vec!["delete", "namespace", &self.name, "--wait=false"],
        ] {
            if let Err(error) = self.cluster.kubectl(&args) {
                eprintln!("{error:#}");
            }
        }
    }
}

/// Merges `more` into `into`, object by object.
pub(crate) fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

/// An annotation `metallb.io/KEY`.
pub(crate) fn annotated(key: &str, value: &str) -> Value {
    json!({"metadata": {"annotations": {format!("metallb.io/{key}"): value}}})
}

/// A specification for a Service.
pub(crate) fn spec(spec: Value) -> Value {
    json!({"spec": spec})
}

/// Both.
pub(crate) fn both(mut a: Value, b: &Value) -> Value {
    merge(&mut a, b);
    a
}

/// A condition of a pool, once it has this status.
pub(crate) fn condition(cluster: &Cluster, pool: &str, type_: &str, status: &str) -> Value {
    wait_for(&format!("condition {type_}={status} on pool {pool}"), LIMIT, || {
        let pool = cluster.get(&["-n", NAMESPACE, "ipaddresspool", pool])?;
        let conditions = pool["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions
            .into_iter()
            .find(|condition| condition["type"] == type_ && condition["status"] == status))
    })
    .unwrap()
}

/// What the working controller serves at a path of one of its ports.
pub(crate) fn asked(cluster: &Cluster, port: u16, path: &str) -> String {
    let pod = cluster.pod_of("controller", None).unwrap();
    let url = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:{port}/proxy/{path}");
    cluster.kubectl(&["get", "--raw", &url]).unwrap()
}

/// Waits for a line of the metrics.
pub(crate) fn metric(cluster: &Cluster, line: &str) {
    let waited = wait_until(&format!("the metric {line}"), LIMIT, || {
        asked(cluster, 9120, "metrics").lines().any(|found| found == line)
    });
    assert!(waited.is_ok(), "{}", asked(cluster, 9120, "metrics"));
}

/// Stops the controller for as long as `work` takes.
pub(crate) fn without_controller(cluster: &Cluster, work: impl FnOnce()) {
    struct Back<'a>(&'a Cluster);
    impl Drop for Back<'_> {
        fn drop(&mut self) {
            scale(self.0, 1);
        }
    }
    scale(cluster, 0);
    let _back = Back(cluster);
    work();
}

/// Runs so many controllers, and waits for that.
pub(crate) fn scale(cluster: &Cluster, replicas: u8) {
    let flag = format!("--replicas={replicas}");
    cluster.kubectl(&["-n", NAMESPACE, "scale", CONTROLLER, &flag]).unwrap();
    cluster
        .kubectl(&["-n", NAMESPACE, "rollout", "status", CONTROLLER, "--timeout=60s"])
        .unwrap();
    let pods = [
        "-n",
        NAMESPACE,
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/component=controller",
        "-o",
        "name",
    ];
    wait_until("the pods of the controller", LIMIT, || {
        cluster
            .kubectl(&pods)
            .is_ok_and(|text| text.lines().count() == usize::from(replicas))
    })
    .unwrap();
}

/// Runs the controller with another setting of the chart for as long as `work` takes.
pub(crate) fn with_setting(cluster: &Cluster, setting: &str, work: impl FnOnce()) {
    /// Sets it back, also when `work` fails: the other tests go on with the cluster.
    struct Back<'a>(&'a Cluster);
    impl Drop for Back<'_> {
        fn drop(&mut self) {
            upgrade(self.0, &[]);
        }
    }
    upgrade(cluster, &[setting]);
    let _back = Back(cluster);
    work();
}

fn upgrade(cluster: &Cluster, settings: &[&str]) {
    cluster.upgrade_lodestone(settings).unwrap();
    // The one before it has ended, too.
    scale(cluster, 1);
}
