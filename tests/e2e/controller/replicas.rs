//! Several replicas of the controller: the standby takes over, and no address is assigned twice.

use std::{collections::BTreeSet, time::Duration};

use lodestone_tests::{Cluster, NAMESPACE, wait_for, wait_until};
use serde_json::{Value, json};

use super::{TestNamespace, cluster, with_setting};

/// The standby has to wait until the Lease expires.
const LIMIT: Duration = Duration::from_secs(90);

/// The holder of the Lease: the name of a pod.
fn leader(cluster: &Cluster) -> String {
    wait_for("a holder of the Lease", LIMIT, || {
        let path = "jsonpath={.spec.holderIdentity}";
        let args = ["-n", NAMESPACE, "get", "lease", "lodestone-controller", "-o", path];
        Ok(Some(cluster.kubectl(&args)?).filter(|holder| !holder.is_empty()))
    })
    .unwrap()
}

/// Creates ten Services whose names begin with `prefix`, and waits until each has an address.
/// Returns the addresses of all Services; asserts that they are distinct and include `before`.
fn ten_more(ns: &TestNamespace<'_>, prefix: &str, before: &[String]) -> Vec<String> {
    let service = |index: usize| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("{prefix}{index}"), "namespace": ns.name},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
        })
    };
    let items: Vec<Value> = (0..10).map(service).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    ns.cluster.apply(&list.to_string()).unwrap();
    let total = before.len() + 10;
    let addresses = wait_for(&format!("{total} addresses"), LIMIT, || {
        let path = "jsonpath={.items[*].status.loadBalancer.ingress[0].ip}";
        let text = ns.kubectl(&["get", "services", "-o", path]);
        let addresses: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Ok((addresses.len() == total).then_some(addresses))
    })
    .unwrap();
    let distinct: BTreeSet<&String> = addresses.iter().collect();
    assert!(
        distinct.len() == total && before.iter().all(|address| distinct.contains(address)),
        "{before:?} {addresses:?}"
    );
    addresses
}

#[test]
fn standby_takes_over_and_no_address_is_assigned_twice() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "replicas");
    ns.pool("replicas", &["10.7.0.0/26"], &json!({}));
    with_setting(&cluster, "controller.replicas=2", || {
        let addresses = ten_more(&ns, "a", &[]);
        // The leader freezes in the middle of its work. Its Lease expires, and the standby takes
        // over.
        let first = leader(&cluster);
        let process = cluster.process_of_pod(NAMESPACE, &first).unwrap();
        process.freeze();
        let addresses = ten_more(&ns, "b", &addresses);
        let second = leader(&cluster);
        assert_ne!(first, second);
        // When it runs again it is no longer the leader, and writes nothing.
        process.thaw();
        let addresses = ten_more(&ns, "c", &addresses);
        assert_eq!(leader(&cluster), second);
        // A leader that shuts down releases its Lease.
        cluster.kubectl(&["-n", NAMESPACE, "delete", "pod", &second]).unwrap();
        wait_until("another leader", LIMIT, || leader(&cluster) != second).unwrap();
        ten_more(&ns, "d", &addresses);
    });
}
