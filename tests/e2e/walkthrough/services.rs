//! What Services get, and what becomes of it.

use lodestone_tests::wait_until;
use serde_json::{Value, json};

use super::{LIMIT, Space, answer, client, cluster, owner};

#[test]
fn services_of_other_types_are_left_alone() {
    let cluster = cluster();
    let space = Space::new(&cluster, "other-types");
    space.pods("web", 1);
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
        space.apply(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}));
    }
    // When this one, which came later, has its address, the others have been looked at.
    space.service("balanced", "web", &json!({}));
    space.address("balanced");
    for (name, _) in &others {
        let service = cluster.get(&["-n", &space.name, "service", name]).unwrap();
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

#[test]
fn without_a_request_an_address_of_the_pool_is_chosen() {
    let cluster = cluster();
    let space = Space::new(&cluster, "no-request");
    space.pods("web", 1);
    space.service("a", "web", &json!({}));
    space.service("b", "web", &json!({}));
    let (a, b) = (space.address("a"), space.address("b"));
    assert_ne!(a, b);
    for address in [a, b] {
        let last: u8 = address.strip_prefix("192.168.122.").unwrap().parse().unwrap();
        assert!((110..=119).contains(&last) && last != 111, "{address}");
        owner(&cluster, &address);
        answer(&cluster, &address);
    }
}

#[test]
fn a_request_outside_every_pool_is_refused_with_a_reason_and_harms_nobody() {
    let cluster = cluster();
    let space = Space::new(&cluster, "outside");
    space.pods("web", 1);
    space.service("outside", "web", &json!({"loadBalancerIP": "192.168.122.77"}));
    let told = cluster.event(&space.name, "outside", "AllocationFailed").unwrap();
    let wanted = "Warning: Failed to allocate IP for \"outside/outside\": 192.168.122.77 is in no IPAddressPool";
    assert_eq!(told, wanted);
    space.service("inside", "web", &json!({}));
    space.address("inside");
    assert_eq!(cluster.status_address(&space.name, "outside").unwrap(), "");
    assert!(client(&cluster).who_has("192.168.122.77").unwrap().is_empty());
}

#[test]
fn a_service_without_selector_and_with_hand_made_endpoints_works_likewise() {
    hand_made("by-endpoints", |name, ip| {
        json!({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name},
            "subsets": [{"addresses": [{"ip": ip}], "ports": [{"name": "http", "port": 80}]}],
        })
    });
}

#[test]
fn a_service_without_selector_and_with_hand_made_endpoint_slices_works_likewise() {
    hand_made("by-slices", |name, ip| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("{name}-1"), "labels": {"kubernetes.io/service-name": name}},
            "endpoints": [{"addresses": [ip]}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        })
    });
}

/// A Service without selector; `endpoints` makes an object that leads it to an address.
fn hand_made(name: &str, endpoints: impl Fn(&str, &str) -> Value) {
    let cluster = cluster();
    let space = Space::new(&cluster, name);
    space.pods("web", 1);
    let ip = space.kubectl(&[
        "get",
        "pods",
        "-l",
        "app=web",
        "-o",
        "jsonpath={.items[0].status.podIP}",
    ]);
    space.service("manual", "none", &json!({"selector": null}));
    let address = space.address("manual");
    assert!(
        client(&cluster).who_has(&address).unwrap().is_empty(),
        "it has no endpoint yet"
    );
    space.apply(&endpoints("manual", &ip));
    owner(&cluster, &address);
    answer(&cluster, &address);
}

#[test]
fn without_a_ready_endpoint_nobody_answers_and_with_one_again() {
    let cluster = cluster();
    let space = Space::new(&cluster, "endpoints");
    space.pods("web", 1);
    space.service("web", "web", &json!({}));
    let address = space.address("web");
    owner(&cluster, &address);
    space.kubectl(&["scale", "deployment/web", "--replicas=0"]);
    wait_until("the end of the answers", LIMIT, || {
        client(&cluster).who_has(&address).unwrap().is_empty()
    })
    .unwrap();
    assert_eq!(space.address("web"), address, "the address stays the Service's");
    space.kubectl(&["scale", "deployment/web", "--replicas=1"]);
    owner(&cluster, &address);
}

#[test]
fn deleting_a_service_frees_its_address_and_ends_the_answers() {
    let cluster = cluster();
    let space = Space::new(&cluster, "deleting");
    space.pods("web", 1);
    let wanted = json!({"loadBalancerIP": "192.168.122.118"});
    space.service("first", "web", &wanted);
    assert_eq!(space.address("first"), "192.168.122.118");
    owner(&cluster, "192.168.122.118");
    space.service("second", "web", &wanted);
    let told = cluster.event(&space.name, "second", "AllocationFailed").unwrap();
    assert!(
        told.ends_with("192.168.122.118 is in use by Service deleting/first"),
        "{told}"
    );
    space.kubectl(&["delete", "service", "first"]);
    // The one that waited gets it, without anything else happening.
    assert_eq!(space.address("second"), "192.168.122.118");
    owner(&cluster, "192.168.122.118");
    space.kubectl(&["delete", "service", "second"]);
    let silent = || client(&cluster).who_has("192.168.122.118").unwrap().is_empty();
    wait_until("the end of the answers", LIMIT, silent).unwrap();
}

#[test]
fn udp_is_answered_from_the_address_that_was_asked() {
    let cluster = cluster();
    let space = Space::new(&cluster, "udp");
    space.pods("web", 2);
    let ports = json!([{"name": "udp", "port": 53, "targetPort": 80, "protocol": "UDP"}, {"name": "http", "port": 80}]);
    space.service("web", "web", &json!({"ports": ports}));
    let address = space.address("web");
    owner(&cluster, &address);
    let client = client(&cluster);
    wait_until("an answer over UDP", LIMIT, || client.udp(&address, 53).is_ok()).unwrap();
    for _ in 0..10 {
        let (answer, from) = client.udp(&address, 53).unwrap();
        assert_eq!(
            (from.to_string(), answer["protocol"].as_str()),
            (address.clone(), "udp")
        );
    }
    answer(&cluster, &address);
}

#[test]
fn with_traffic_policy_local_a_node_with_a_pod_answers_and_the_pod_sees_the_client() {
    let cluster = cluster();
    let space = Space::new(&cluster, "local");
    space.pods("web", 1);
    space.service("web", "web", &json!({"externalTrafficPolicy": "Local"}));
    let address = space.address("web");
    let node = owner(&cluster, &address);
    answer(&cluster, &address);
    let answer = answer(&cluster, &address);
    assert_eq!(
        (answer["node"].as_str(), answer["client"].as_str()),
        (node.as_str(), "192.168.122.201")
    );
}
