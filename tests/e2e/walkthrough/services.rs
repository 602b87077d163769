//! Services of different kinds, from their creation to their deletion.

use lodestone_tests::{Cluster, wait_until};
use serde_json::{Value, json};

use super::{answer, cluster, owner};
use crate::support::{LIMIT, TestNamespace, client};

#[test]
fn services_of_other_types_are_left_alone() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "other-types");
    ns.deploy("web", 1);
    let ports = json!([{"port": 80}]);
    let others = [
        (
            "cluster-ip",
            json!({"type": "ClusterIP", "ports": ports, "selector": {"app": "web"}}),
        ),
        (
            "node-port",
            json!({"type": "NodePort", "ports": ports, "selector": {"app": "web"}}),
        ),
        (
            "headless",
            json!({"type": "ClusterIP", "clusterIP": "None", "ports": ports, "selector": {"app": "web"}}),
        ),
        (
            "external-name",
            json!({"type": "ExternalName", "externalName": "example.com"}),
        ),
    ];
    for (name, spec) in &others {
        ns.apply(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}));
    }
    // Once this newer Service has an address, the controller has processed the others.
    ns.balance("balanced", "web", &json!({}));
    ns.address("balanced");
    for (name, _) in &others {
        let service = cluster.get(&["-n", &ns.name, "service", name]).unwrap();
        assert_eq!(service["status"]["loadBalancer"], json!({}), "{name}");
        let annotations = service["metadata"]["annotations"].as_object().unwrap();
        assert!(
            annotations.keys().all(|key| !key.starts_with("metallb.io/")),
            "{name}: {annotations:?}"
        );
        let writers = service["metadata"].to_string();
        assert!(!writers.contains("lodestone"), "{name}: {writers}");
    }
}

pub(crate) fn without_a_request_an_address_of_the_pool_is_chosen(cluster: &Cluster) {
    let ns = TestNamespace::create(cluster, "no-request");
    ns.deploy("web", 1);
    ns.balance("a", "web", &json!({}));
    ns.balance("b", "web", &json!({}));
    let (a, b) = (ns.address("a"), ns.address("b"));
    assert_ne!(a, b);
    for address in [a, b] {
        let last: u8 = address.strip_prefix("192.168.122.").unwrap().parse().unwrap();
        assert!((110..=119).contains(&last) && last != 111, "{address}");
        owner(cluster, &address);
        answer(cluster, &address);
    }
}

#[test]
fn request_outside_all_pools_is_refused_and_affects_no_other() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "outside");
    ns.deploy("web", 1);
    ns.balance("outside", "web", &json!({"loadBalancerIP": "192.168.122.77"}));
    let event = cluster.wait_for_event(&ns.name, "outside", "AllocationFailed").unwrap();
    let wanted = "Warning: Failed to allocate IP for \"outside/outside\": 192.168.122.77 is in no IPAddressPool";
    assert_eq!(event, wanted);
    ns.balance("inside", "web", &json!({}));
    ns.address("inside");
    assert_eq!(cluster.status_address(&ns.name, "outside").unwrap(), "");
    assert!(client(&cluster).who_has("192.168.122.77").unwrap().is_empty());
}

pub(crate) fn hand_made_endpoints_of_a_service_without_selector_work(cluster: &Cluster) {
    hand_made(cluster, "by-endpoints", |name, ip| {
        json!({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name},
            "subsets": [{"addresses": [{"ip": ip}], "ports": [{"name": "http", "port": 80}]}],
        })
    });
}

pub(crate) fn hand_made_endpoint_slices_of_a_service_without_selector_work(cluster: &Cluster) {
    hand_made(cluster, "by-slices", |name, ip| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("{name}-1"), "labels": {"kubernetes.io/service-name": name}},
            "endpoints": [{"addresses": [ip]}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        })
    });
}

/// A Service without selector. `endpoints` takes its name and the address of a pod, and returns an
/// object that connects the two.
fn hand_made(cluster: &Cluster, name: &str, endpoints: impl Fn(&str, &str) -> Value) {
    let ns = TestNamespace::create(cluster, name);
    ns.deploy("web", 1);
    let ip = ns.kubectl(&[
        "get",
        "pods",
        "-l",
        "app=web",
        "-o",
        "jsonpath={.items[0].status.podIP}",
    ]);
    ns.balance("manual", "none", &json!({"selector": null}));
    let address = ns.address("manual");
    assert!(
        client(cluster).who_has(&address).unwrap().is_empty(),
        "the Service has no endpoint yet"
    );
    ns.apply(&endpoints("manual", &ip));
    owner(cluster, &address);
    answer(cluster, &address);
}

#[test]
fn address_is_answered_only_while_an_endpoint_is_ready() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "endpoints");
    ns.deploy("web", 1);
    ns.balance("web", "web", &json!({}));
    let address = ns.address("web");
    owner(&cluster, &address);
    ns.kubectl(&["scale", "deployment/web", "--replicas=0"]);
    wait_until("the answers to end", LIMIT, || {
        client(&cluster).who_has(&address).unwrap().is_empty()
    })
    .unwrap();
    assert_eq!(ns.address("web"), address, "the Service keeps its address");
    ns.kubectl(&["scale", "deployment/web", "--replicas=1"]);
    owner(&cluster, &address);
}

#[test]
fn deleting_a_service_frees_its_address_and_ends_the_answers() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "deleting");
    ns.deploy("web", 1);
    let wanted = json!({"loadBalancerIP": "192.168.122.118"});
    ns.balance("first", "web", &wanted);
    assert_eq!(ns.address("first"), "192.168.122.118");
    owner(&cluster, "192.168.122.118");
    ns.balance("second", "web", &wanted);
    let event = cluster.wait_for_event(&ns.name, "second", "AllocationFailed").unwrap();
    assert!(
        event.ends_with("192.168.122.118 is in use by Service deleting/first"),
        "{event}"
    );
    ns.kubectl(&["delete", "service", "first"]);
    // The waiting Service gets it without further events.
    assert_eq!(ns.address("second"), "192.168.122.118");
    owner(&cluster, "192.168.122.118");
    ns.kubectl(&["delete", "service", "second"]);
    let silent = || client(&cluster).who_has("192.168.122.118").unwrap().is_empty();
    wait_until("the answers to end", LIMIT, silent).unwrap();
}

pub(crate) fn udp_is_answered_from_the_requested_address(cluster: &Cluster) {
    let ns = TestNamespace::create(cluster, "udp");
    ns.deploy("web", 2);
    let ports = json!([{"name": "udp", "port": 53, "targetPort": 80, "protocol": "UDP"}, {"name": "http", "port": 80}]);
    ns.balance("web", "web", &json!({"ports": ports}));
    let address = ns.address("web");
    owner(cluster, &address);
    let client = client(cluster);
    wait_until("an answer over UDP", LIMIT, || client.udp(&address, 53).is_ok()).unwrap();
    for _ in 0..10 {
        let (answer, from) = client.udp(&address, 53).unwrap();
        assert_eq!(
            (from.to_string(), answer["protocol"].as_str()),
            (address.clone(), "udp")
        );
    }
    answer(cluster, &address);
}

pub(crate) fn with_traffic_policy_local_a_node_with_a_pod_answers(cluster: &Cluster) {
    let ns = TestNamespace::create(cluster, "local");
    ns.deploy("web", 1);
    ns.balance("web", "web", &json!({"externalTrafficPolicy": "Local"}));
    let address = ns.address("web");
    let node = owner(cluster, &address);
    answer(cluster, &address);
    let answer = answer(cluster, &address);
    assert_eq!(
        (answer["node"].as_str(), answer["client"].as_str()),
        (node.as_str(), "192.168.122.201")
    );
}
