//! The manifests of the README, unchanged.

use std::collections::BTreeSet;

use lodestone_tests::{Cluster, NAMESPACE, wait_for, wait_until};

use super::{answer, cluster, node_of, owner};
use crate::support::{LIMIT, client};

/// The address that the Service of the quickstart requests.
const ADDRESS: &str = "192.168.122.111";

#[test]
fn service_shows_the_requested_address() {
    let cluster = cluster();
    assert_eq!(cluster.address_of("default", "nginxlb").unwrap(), ADDRESS);
    let shown = cluster.kubectl(&["get", "service", "nginxlb", "--no-headers"]).unwrap();
    assert_eq!(shown.split_whitespace().nth(3), Some(ADDRESS), "{shown}");
    let event = cluster.wait_for_event("default", "nginxlb", "IPAllocated").unwrap();
    assert_eq!(event, format!("Normal: Assigned IP [\"{ADDRESS}\"]"));
    let pool = "jsonpath={.metadata.annotations.metallb\\.io/ip-allocated-from-pool}";
    assert_eq!(
        cluster.kubectl(&["get", "service", "nginxlb", "-o", pool]).unwrap(),
        "lb-ip-pool"
    );
}

pub(crate) fn host_on_the_lan_gets_answers_from_all_three_pods(cluster: &Cluster) {
    owner(cluster, ADDRESS);
    let mut pods = BTreeSet::new();
    wait_until("an answer from each of the three pods", LIMIT, || {
        pods.insert(answer(cluster, ADDRESS)["pod"].clone());
        pods.len() == 3
    })
    .unwrap();
    assert!(pods.iter().all(|pod| pod.starts_with("nginx-deployment-")), "{pods:?}");
}

pub(crate) fn neighbour_table_and_the_status_agree_on_the_owner(cluster: &Cluster) {
    let client = client(cluster);
    let node = owner(cluster, ADDRESS);
    client.forget_neighbours().unwrap();
    answer(cluster, ADDRESS);
    let mac = client
        .neighbour(ADDRESS)
        .unwrap()
        .expect("an entry in the neighbour table");
    assert_eq!(node_of(cluster, &mac), node);
    // The same node writes the status later.
    wait_until("the ServiceL2Status of the node that answers", LIMIT, || {
        let path = "jsonpath={.items[*].status.node}";
        let selector = "metallb.io/service-name=nginxlb,metallb.io/service-namespace=default";
        let args = ["-n", NAMESPACE, "get", "servicel2statuses", "-l", selector, "-o", path];
        cluster.kubectl(&args).unwrap() == node
    })
    .unwrap();
    let event = cluster.wait_for_event("default", "nginxlb", "nodeAssigned").unwrap();
    assert!(event.contains("announcing from node"), "{event}");
}

pub(crate) fn cluster_ip_of_the_service_works_from_a_pod(cluster: &Cluster) {
    let address = cluster
        .kubectl(&["get", "service", "nginxlb", "-o", "jsonpath={.spec.clusterIP}"])
        .unwrap();
    let pods = cluster
        .kubectl(&["get", "pods", "-l", "app=nginx-deployment", "-o", "name"])
        .unwrap();
    let pod = pods.lines().next().unwrap();
    let url = format!("http://{address}/");
    let answered = || {
        cluster
            .kubectl(&["exec", pod, "--", "/testserver", "get", &url])
            .is_ok()
    };
    wait_until("an answer inside the cluster", LIMIT, answered).unwrap();
    // Several times, so that kube-proxy chooses the pod itself, and pods on this and other nodes.
    for _ in 0..6 {
        let answer = cluster
            .kubectl(&["exec", pod, "--", "/testserver", "get", &format!("http://{address}/")])
            .unwrap();
        assert!(answer.contains("nginx-deployment-"), "{answer}");
    }
}

pub(crate) fn node_ports_of_the_services_work_on_every_node(cluster: &Cluster) {
    for service in ["nginx-service", "nginxlb"] {
        let port = cluster
            .kubectl(&["get", "service", service, "-o", "jsonpath={.spec.ports[0].nodePort}"])
            .unwrap();
        for node in cluster.spec().nodes() {
            let addresses = cluster.addresses(&node).unwrap();
            let asked = || client(cluster).http(&addresses.ipv4, port.parse()?).map(Some);
            let answer = wait_for(&format!("an answer from {service} on {node}"), LIMIT, asked).unwrap();
            assert!(
                answer["pod"].starts_with("nginx-deployment-"),
                "{service} on {node}: {answer:?}"
            );
        }
    }
}
