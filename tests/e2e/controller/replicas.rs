//! Several replicas of the controller: one works, the other takes over, and nothing is given out twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is tests only"
)]

use std::{collections::BTreeSet, path::Path, time::Duration};

use lodestone_tests::{Cluster, NAMESPACE, Spec, images, wait_for, wait_until};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(90);

fn leader(cluster: &Cluster) -> String {
    wait_for("a holder of the Lease", LIMIT, || {
        let path = "jsonpath={.spec.holderIdentity}";
        let args = ["-n", NAMESPACE, "get", "lease", "lodestone-controller", "-o", path];
        Ok(Some(cluster.kubectl(&args)?).filter(|holder| !holder.is_empty()))
    })
    .unwrap()
}

/// Services of type LoadBalancer by these names.
fn services(cluster: &Cluster, names: impl IntoIterator<Item = String>) {
    let items: Vec<_> = names
        .into_iter()
        .map(|name| {
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
                "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
            })
        })
        .collect();
    cluster
        .apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
        .unwrap();
}

/// The addresses of all Services, once so many have one.
fn addresses(cluster: &Cluster, count: usize) -> Vec<String> {
    wait_for(&format!("{count} addresses"), LIMIT, || {
        let path = "jsonpath={.items[*].status.loadBalancer.ingress[0].ip}";
        let text = cluster.kubectl(&["get", "services", "-o", path])?;
        let addresses: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Ok((addresses.len() == count).then_some(addresses))
    })
    .unwrap()
}

fn distinct(addresses: &[String]) -> bool {
    addresses.iter().collect::<BTreeSet<_>>().len() == addresses.len()
}

#[test]
fn the_standby_takes_over_from_a_replica_that_is_frozen_or_ends_and_nothing_is_given_out_twice() {
    let spec = Spec {
        workers: 1,
        images: images().unwrap(),
        ..Spec::new(&format!("r{}", std::process::id()))
    };
    let cluster = Cluster::up(spec, Path::new(env!("CARGO_BIN_EXE_cluster"))).unwrap();
    cluster.install_lodestone(&["controller.replicas=2"]).unwrap();
    let pool = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "p", "namespace": NAMESPACE},
        "spec": {"addresses": ["192.168.122.120-192.168.122.199"]},
    });
    cluster.apply(&pool.to_string()).unwrap();
    services(&cluster, (0..10).map(|index| format!("a{index}")));
    let before = addresses(&cluster, 10);
    // It stands still in the middle of its work: its Lease runs out, and the other one goes on.
    let first = leader(&cluster);
    let process = cluster.process_of_pod(NAMESPACE, &first).unwrap();
    process.freeze();
    services(&cluster, (0..10).map(|index| format!("b{index}")));
    let during = addresses(&cluster, 20);
    let second = leader(&cluster);
    assert_ne!(first, second);
    assert!(
        distinct(&during) && before.iter().all(|address| during.contains(address)),
        "{before:?} {during:?}"
    );
    // When it wakes up it is no longer the one that works, and writes nothing.
    process.thaw();
    services(&cluster, (0..10).map(|index| format!("c{index}")));
    let after = addresses(&cluster, 30);
    assert!(
        distinct(&after) && during.iter().all(|address| after.contains(address)),
        "{during:?} {after:?}"
    );
    assert_eq!(leader(&cluster), second);
    // One that ends gives its Lease up.
    cluster.kubectl(&["-n", NAMESPACE, "delete", "pod", &second]).unwrap();
    wait_until("another holder", LIMIT, || leader(&cluster) != second).unwrap();
    services(&cluster, (0..10).map(|index| format!("d{index}")));
    let last = addresses(&cluster, 40);
    assert!(
        distinct(&last) && after.iter().all(|address| last.contains(address)),
        "{after:?} {last:?}"
    );
}
