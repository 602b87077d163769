//! The controller on a real API server: allocation, address retention (promise P7), statuses,
//! events, metrics, the webhook and several replicas.
//!
//! Each test has its own namespace, pools and addresses, and deletes them at its end.

mod address_retention;
mod allocation;
mod families;
mod replicas;
mod sharing;
mod status;
mod webhook;

use lodestone_tests::{Cluster, NAMESPACE, Spec, images, wait_for, wait_until};
use serde_json::{Value, json};

use crate::support::{LIMIT, SharedCluster, TestNamespace, merge};

/// The Deployment of the controller.
const CONTROLLER: &str = "deployment/lodestone-controller";

fn cluster() -> SharedCluster {
    let spec = Spec::unique("c").workers(1).images(images().unwrap());
    SharedCluster::get(spec, |cluster| cluster.install_lodestone(&[]).unwrap())
}

/// What the tests of the controller do in their namespaces.
impl TestNamespace<'_> {
    /// Applies a Service of type LoadBalancer with one port; `more` is merged into the object.
    fn service(&self, name: &str, more: &Value) {
        let mut object = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"type": "LoadBalancer", "ports": [{"name": "a", "port": 80}]},
        });
        merge(&mut object, more);
        self.apply(&object);
    }

    /// Patches a Service; `null` removes a field.
    fn patch(&self, name: &str, patch: &Value) {
        self.kubectl(&["patch", "service", name, "--type=merge", "-p", &patch.to_string()]);
    }

    /// Patches the status of a Service, as an administrator might.
    fn patch_status(&self, name: &str, patch: &Value) {
        let patch = json!({"status": patch}).to_string();
        let args = [
            "patch",
            "service",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        self.kubectl(&args);
    }

    /// The addresses in the status of a Service.
    fn addresses_of(&self, name: &str) -> Vec<String> {
        let path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
        let text = self.kubectl(&["get", "service", name, "-o", path]);
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Waits until the status of a Service has exactly these addresses.
    fn wait_for_addresses(&self, name: &str, addresses: &[&str]) {
        let waited = wait_until(&format!("{addresses:?} for {name}"), LIMIT, || {
            self.addresses_of(name) == addresses
        });
        assert!(
            waited.is_ok(),
            "{name} has {:?} and not {addresses:?}",
            self.addresses_of(name)
        );
    }

    /// Waits for an event with this reason on a Service, whose message contains `part`.
    fn wait_for_event(&self, name: &str, reason: &str, part: &str) {
        let field = format!("involvedObject.name={name},reason={reason}");
        let messages = "jsonpath={.items[*].message}";
        let waited = wait_until(&format!("the event {reason} on {name}: {part}"), LIMIT, || {
            self.kubectl(&["get", "events", "--field-selector", &field, "-o", messages])
                .contains(part)
        });
        assert!(waited.is_ok(), "{:?}", self.kubectl(&["get", "events"]));
    }

    /// Waits until the controller has processed everything that was applied before. The sign is
    /// that a newer Service has an address, from a pool that exists for this purpose only.
    fn wait_for_controller(&self) {
        self.pool("marker", &["10.255.255.255/32"], &json!({"autoAssign": false}));
        self.service("marker", &annotated("address-pool", "marker"));
        self.wait_for_addresses("marker", &["10.255.255.255"]);
        self.kubectl(&["delete", "service", "marker"]);
        delete_pool(self.cluster, "marker");
    }

    /// The value of an annotation of a Service; empty if it does not have it.
    fn annotation(&self, name: &str, key: &str) -> String {
        let object = self.cluster.get(&["-n", &self.name, "service", name]).unwrap();
        object["metadata"]["annotations"][key]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// A Service with the annotation `metallb.io/KEY`.
fn annotated(key: &str, value: impl Into<Value>) -> Value {
    json!({"metadata": {"annotations": {format!("metallb.io/{key}"): value.into()}}})
}

/// A Service with these fields in its `spec`.
fn with_spec(spec: Value) -> Value {
    json!({"spec": spec})
}

/// A Service with the fields of both; those of `b` win.
fn merged(mut a: Value, b: &Value) -> Value {
    merge(&mut a, b);
    a
}

fn delete_pool(cluster: &Cluster, name: &str) {
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "ipaddresspool", name])
        .unwrap();
}

/// Waits until a condition of a pool has this status, and returns the condition.
fn wait_for_condition(cluster: &Cluster, pool: &str, type_: &str, status: &str) -> Value {
    wait_for(&format!("condition {type_}={status} on pool {pool}"), LIMIT, || {
        let pool = cluster.get(&["-n", NAMESPACE, "ipaddresspool", pool])?;
        let conditions = pool["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions
            .into_iter()
            .find(|condition| condition["type"] == type_ && condition["status"] == status))
    })
    .unwrap()
}

/// Fetches a path from a port of the only controller.
fn fetch(cluster: &Cluster, port: u16, path: &str) -> String {
    let pod = cluster.pod_of("controller", None).unwrap();
    let url = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:{port}/proxy/{path}");
    cluster.kubectl(&["get", "--raw", &url]).unwrap()
}

/// Waits until the metrics contain this line.
fn wait_for_metric(cluster: &Cluster, line: &str) {
    let waited = wait_until(&format!("the metric {line}"), LIMIT, || {
        fetch(cluster, 9120, "metrics").lines().any(|found| found == line)
    });
    assert!(waited.is_ok(), "{}", fetch(cluster, 9120, "metrics"));
}

fn restart_controller(cluster: &Cluster) {
    cluster
        .kubectl(&["-n", NAMESPACE, "rollout", "restart", CONTROLLER])
        .unwrap();
    wait_for_rollout(cluster);
    cluster.wait_for_lodestone().unwrap();
}

/// Runs `work` while no controller runs.
fn without_controller(cluster: &Cluster, work: impl FnOnce()) {
    /// Starts the controller again, even if `work` panics.
    struct RestoreReplicas<'a>(&'a Cluster);
    impl Drop for RestoreReplicas<'_> {
        fn drop(&mut self) {
            scale_controller(self.0, 1);
        }
    }
    scale_controller(cluster, 0);
    let _restore = RestoreReplicas(cluster);
    work();
}

/// Scales the controller and waits until exactly that many replicas exist.
fn scale_controller(cluster: &Cluster, replicas: u8) {
    let flag = format!("--replicas={replicas}");
    cluster.kubectl(&["-n", NAMESPACE, "scale", CONTROLLER, &flag]).unwrap();
    wait_for_rollout(cluster);
}

/// Waits until the controller is rolled out and no surplus pod is left.
fn wait_for_rollout(cluster: &Cluster) {
    cluster
        .kubectl(&["-n", NAMESPACE, "rollout", "status", CONTROLLER, "--timeout=60s"])
        .unwrap();
    let wanted = ["-n", NAMESPACE, "get", CONTROLLER, "-o", "jsonpath={.spec.replicas}"];
    let wanted: usize = cluster.kubectl(&wanted).unwrap().parse().unwrap();
    let selector = "app.kubernetes.io/component=controller";
    let pods = ["-n", NAMESPACE, "get", "pods", "-l", selector, "-o", "name"];
    wait_until("surplus pods of the controller to end", LIMIT, || {
        cluster.kubectl(&pods).is_ok_and(|text| text.lines().count() == wanted)
    })
    .unwrap();
}

/// Runs `work` with one setting of the chart changed.
fn with_setting(cluster: &Cluster, setting: &str, work: impl FnOnce()) {
    /// Restores the defaults, even if `work` panics: the other tests use the cluster, too.
    struct RestoreSettings<'a>(&'a Cluster);
    impl Drop for RestoreSettings<'_> {
        fn drop(&mut self) {
            self.0.upgrade_lodestone(&[]).unwrap();
            wait_for_rollout(self.0);
        }
    }
    cluster.upgrade_lodestone(&[setting]).unwrap();
    wait_for_rollout(cluster);
    let _restore = RestoreSettings(cluster);
    work();
}
