//! The same for IPv6: Neighbor Discovery in the place of ARP.

use lodestone_tests::{Cluster, NAMESPACE, wait_for, wait_until};
use serde_json::{Value, json};

use super::{LIMIT, Space, answer, client, cluster, node_of};

/// A pool of the LAN's prefix, advertised everywhere, for as long as the test runs.
struct Pool<'a>(&'a Cluster);

impl<'a> Pool<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        cluster.apply_ipv6_pool().unwrap();
        Self(cluster)
    }
}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        for kind in ["l2advertisement", "ipaddresspool"] {
            if let Err(error) = self.0.kubectl(&["-n", NAMESPACE, "delete", kind, "six"]) {
                eprintln!("{error:#}");
            }
        }
    }
}

fn six() -> Value {
    json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]})
}

/// The node that the client's kernel has in its neighbour table for an address, once it answers.
fn neighbour(cluster: &Cluster, address: &str) -> String {
    answer(cluster, address);
    let mac = wait_for("a neighbour", LIMIT, || client(cluster).neighbour(address)).unwrap();
    node_of(cluster, &mac)
}

#[test]
fn an_ipv6_service_is_found_by_neighbor_discovery_and_answers() {
    let cluster = cluster();
    let _pool = Pool::new(&cluster);
    let space = Space::new(&cluster, "six");
    space.pods("web", 2);
    space.service("web", "web", &six());
    let address = space.address("web");
    assert!(address.starts_with("fd00:122::a"), "{address}");
    let owner = neighbour(&cluster, &address);
    // The kernel asks again, now and then by a unicast solicitation: it is answered from the same node.
    for _ in 0..3 {
        client(&cluster).forget_neighbours().unwrap();
        assert_eq!(neighbour(&cluster, &address), owner);
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
    assert_eq!(status["items"][0]["status"]["node"], owner.as_str());
}

#[test]
fn a_dual_stack_service_answers_under_both_addresses() {
    let cluster = cluster();
    let space = Space::new(&cluster, "both-families");
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
    space.pods("web", 1);
    space.service("web", "web", &json!({"ipFamilyPolicy": "RequireDualStack"}));
    space.address("web");
    let path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
    let addresses = space.kubectl(&["get", "service", "web", "-o", path]);
    let addresses: Vec<&str> = addresses.split_whitespace().collect();
    assert_eq!(addresses, ["192.168.122.200", "fd00:122::b0"]);
    let mut owners: Vec<String> = addresses.iter().map(|address| neighbour(&cluster, address)).collect();
    // Whoever announces one of the two says so, and none of them takes the other's word away.
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
    drop(space);
    for kind in ["l2advertisement", "ipaddresspool"] {
        cluster.kubectl(&["-n", NAMESPACE, "delete", kind, "both"]).unwrap();
    }
}

#[test]
fn duplicate_address_detection_of_another_host_finds_the_address_taken() {
    let cluster = cluster();
    let _pool = Pool::new(&cluster);
    let space = Space::new(&cluster, "detected");
    space.pods("web", 1);
    space.service("web", "web", &six());
    let address = space.address("web");
    answer(&cluster, &address);
    let client = client(&cluster);
    let with_length = format!("{address}/128");
    client.ip(&["addr", "add", &with_length, "dev", "eth0"]).unwrap();
    let found = wait_until("the kernel to find it taken", LIMIT, || {
        client.ip(&["addr", "show", "dev", "eth0"]).is_ok_and(|text| {
            text.lines()
                .any(|line| line.contains(&with_length) && line.contains("dadfailed"))
        })
    });
    let text = client.ip(&["addr", "show", "dev", "eth0"]).unwrap();
    client.ip(&["addr", "del", &with_length, "dev", "eth0"]).unwrap();
    assert!(found.is_ok(), "{text}");
}

#[test]
fn a_speaker_that_is_restarted_answers_for_its_ipv6_addresses_again() {
    let cluster = cluster();
    let _pool = Pool::new(&cluster);
    let space = Space::new(&cluster, "restarted-six");
    space.pods("web", 1);
    space.service("web", "web", &six());
    let address = space.address("web");
    let owner = neighbour(&cluster, &address);
    let pod = cluster.pod_of("speaker", Some(&owner)).unwrap();
    let old = cluster.process_of_pod(NAMESPACE, &pod).unwrap();
    old.kill();
    wait_until("a new speaker", LIMIT, || {
        cluster.process_of_pod(NAMESPACE, &pod).is_ok_and(|new| new != old)
    })
    .unwrap();
    cluster.wait_for_lodestone().unwrap();
    client(&cluster).forget_neighbours().unwrap();
    let now = neighbour(&cluster, &address);
    // Its group, which a switch that snoops asks about.
    let last = address.rsplit(':').next().unwrap();
    let groups = cluster.host(&now).tool("cat").args(["/proc/net/igmp6"]).run().unwrap();
    let group = format!("ff0200000000000000000001ff{:0>6}", last);
    assert!(groups.contains(&group), "{group} is not in {groups}");
}
