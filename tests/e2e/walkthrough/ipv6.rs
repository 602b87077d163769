//! IPv6: Neighbor Discovery in place of ARP.

use lodestone_tests::{Cluster, NAMESPACE, wait_for, wait_until};
use serde_json::json;

use super::{answer, node_of};
use crate::support::{LIMIT, TestNamespace, client, ipv6_only};

/// An advertised pool of IPv6 addresses of the LAN. Dropping it deletes the pool.
struct Ipv6Pool<'a>(&'a Cluster);

impl<'a> Ipv6Pool<'a> {
    fn create(cluster: &'a Cluster) -> Self {
        cluster.apply_ipv6_pool().unwrap();
        Self(cluster)
    }
}

impl Drop for Ipv6Pool<'_> {
    fn drop(&mut self) {
        for kind in ["l2advertisement", "ipaddresspool"] {
            if let Err(error) = self.0.kubectl(&["-n", NAMESPACE, "delete", kind, "six"]) {
                eprintln!("{error:#}");
            }
        }
    }
}

/// Waits until an address answers, and returns the node in the neighbour table of the client for
/// it.
fn owner(cluster: &Cluster, address: &str) -> String {
    answer(cluster, address);
    let mac = wait_for("an entry in the neighbour table", LIMIT, || {
        client(cluster).neighbour(address)
    })
    .unwrap();
    node_of(cluster, &mac)
}

pub(crate) fn ipv6_address_is_found_by_neighbor_discovery(cluster: &Cluster) {
    let _pool = Ipv6Pool::create(cluster);
    let ns = TestNamespace::create(cluster, "six");
    ns.deploy("web", 2);
    ns.balance("web", "web", &ipv6_only());
    let address = ns.address("web");
    assert!(address.starts_with("fd00:122::a"), "{address}");
    let node = owner(cluster, &address);
    // The kernel solicits again, sometimes by unicast: the same node answers.
    for _ in 0..3 {
        client(cluster).forget_neighbours().unwrap();
        assert_eq!(owner(cluster, &address), node);
    }
    let status = cluster
        .get(&[
            "-n",
            NAMESPACE,
            "servicel2statuses",
            "-l",
            "metallb.io/service-name=web",
        ])
        .unwrap();
    assert_eq!(status["items"][0]["status"]["node"], node.as_str());
}

pub(crate) fn dual_stack_service_answers_at_both_addresses(cluster: &Cluster) {
    let ns = TestNamespace::create(cluster, "both-families");
    let pool = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "both", "namespace": NAMESPACE},
        "spec": {
            "addresses": ["fd00:122::b0/124", "192.168.122.200-192.168.122.203"], "serviceAllocation": {"namespaces": ["both-families"]},
        },
    });
    let advertisement = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": {"name": "both", "namespace": NAMESPACE},
        "spec": {"ipAddressPools": ["both"]},
    });
    cluster.apply(&pool.to_string()).unwrap();
    cluster.apply(&advertisement.to_string()).unwrap();
    ns.deploy("web", 1);
    ns.balance("web", "web", &json!({"ipFamilyPolicy": "RequireDualStack"}));
    ns.address("web");
    let path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
    let addresses = ns.kubectl(&["get", "service", "web", "-o", path]);
    let addresses: Vec<&str> = addresses.split_whitespace().collect();
    assert_eq!(addresses, ["192.168.122.200", "fd00:122::b0"]);
    let mut owners: Vec<String> = addresses.iter().map(|address| owner(cluster, address)).collect();
    // Each node that announces one of the addresses has a status, and deletes no status of another
    // node.
    owners.sort();
    owners.dedup();
    let path = "jsonpath={.items[*].status.node}";
    let args = [
        "-n",
        NAMESPACE,
        "get",
        "servicel2statuses",
        "-l",
        "metallb.io/service-namespace=both-families",
        "-o",
        path,
    ];
    let waited = wait_until("the statuses", LIMIT, || {
        let text = cluster.kubectl(&args).unwrap();
        let mut nodes: Vec<&str> = text.split_whitespace().collect();
        nodes.sort_unstable();
        nodes == owners
    });
    assert!(waited.is_ok(), "{owners:?} {:?}", cluster.kubectl(&args));
    drop(ns);
    for kind in ["l2advertisement", "ipaddresspool"] {
        cluster.kubectl(&["-n", NAMESPACE, "delete", kind, "both"]).unwrap();
    }
}

pub(crate) fn duplicate_address_detection_of_another_host_finds_the_address(cluster: &Cluster) {
    let _pool = Ipv6Pool::create(cluster);
    let ns = TestNamespace::create(cluster, "detected");
    ns.deploy("web", 1);
    ns.balance("web", "web", &ipv6_only());
    let address = ns.address("web");
    answer(cluster, &address);
    let client = client(cluster);
    let with_length = format!("{address}/128");
    client.ip(&["addr", "add", &with_length, "dev", "eth0"]).unwrap();
    let found = wait_until("the kernel to detect the duplicate", LIMIT, || {
        client.ip(&["addr", "show", "dev", "eth0"]).is_ok_and(|text| {
            text.lines()
                .any(|line| line.contains(&with_length) && line.contains("dadfailed"))
        })
    });
    let text = client.ip(&["addr", "show", "dev", "eth0"]).unwrap();
    client.ip(&["addr", "del", &with_length, "dev", "eth0"]).unwrap();
    assert!(found.is_ok(), "{text}");
}

pub(crate) fn restarted_speaker_answers_for_its_ipv6_addresses_again(cluster: &Cluster) {
    let _pool = Ipv6Pool::create(cluster);
    let ns = TestNamespace::create(cluster, "restarted-six");
    ns.deploy("web", 1);
    ns.balance("web", "web", &ipv6_only());
    let address = ns.address("web");
    let node = owner(cluster, &address);
    let pod = cluster.pod_of("speaker", Some(&node)).unwrap();
    let old = cluster.process_of_pod(NAMESPACE, &pod).unwrap();
    old.kill();
    wait_until("a new speaker", LIMIT, || {
        cluster.process_of_pod(NAMESPACE, &pod).is_ok_and(|new| new != old)
    })
    .unwrap();
    cluster.wait_for_lodestone().unwrap();
    client(cluster).forget_neighbours().unwrap();
    let now = owner(cluster, &address);
    // The speaker has joined the solicited-node group, as MLD snooping switches require.
    let last = address.rsplit(':').next().unwrap();
    let groups = cluster.host(&now).tool("cat").args(["/proc/net/igmp6"]).run().unwrap();
    let group = format!("ff0200000000000000000001ff{:0>6}", last);
    assert!(groups.contains(&group), "{group} is not in {groups}");
}
