//! Services that share one address.

use serde_json::{Value, json};

use super::{Space, annotated, both, cluster, spec};

fn shared(key: &str, port: u16, more: &Value) -> Value {
    let ports = spec(json!({"ports": [{"name": "a", "port": port}]}));
    both(both(annotated("allow-shared-ip", key), &ports), more)
}

fn local(selector: &str) -> Value {
    spec(json!({"externalTrafficPolicy": "Local", "selector": {"app": selector}}))
}

#[test]
fn services_share_an_address_under_one_key_with_different_ports_and_the_same_nodes() {
    let cluster = cluster();
    let space = Space::new(&cluster, "shared");
    space.pool("p", &["10.3.0.0/32"], &json!({}));
    space.service("first", &shared("k", 80, &json!({})));
    space.gets("first", &["10.3.0.0"]);
    space.service("second", &shared("k", 81, &json!({})));
    space.gets("second", &["10.3.0.0"]);
    let udp = spec(json!({"ports": [{"name": "a", "port": 80, "protocol": "UDP"}]}));
    space.service("udp", &shared("k", 80, &udp));
    space.gets("udp", &["10.3.0.0"]);
    let asks = spec(json!({"loadBalancerIP": "10.3.0.0"}));
    for (name, more, part) in [
        (
            "same-port",
            shared("k", 81, &asks),
            "port TCP/81 of 10.3.0.0 is in use by Service shared/second",
        ),
        (
            "other-key",
            shared("other", 90, &asks),
            "under another value of the annotation",
        ),
        (
            "no-key",
            both(asks.clone(), &spec(json!({"ports": [{"port": 90}]}))),
            "10.3.0.0 is in use by Service",
        ),
        (
            "local",
            shared("k", 90, &both(asks.clone(), &local("x"))),
            "externalTrafficPolicy",
        ),
    ] {
        space.service(name, &more);
        space.told(name, "AllocationFailed", part);
        assert_eq!(space.has(name), [""; 0]);
    }
    // Kubernetes has a condition for the one whose port is in use.
    let status = "jsonpath={.status.conditions[?(@.type==\"LoadBalancerPortsError\")].status}";
    assert_eq!(space.kubectl(&["get", "service", "same-port", "-o", status]), "True");
    space.kubectl(&["delete", "service", "second"]);
    space.gets("same-port", &["10.3.0.0"]);
    assert_eq!(space.kubectl(&["get", "service", "same-port", "-o", status]), "False");
}

#[test]
fn local_services_share_only_within_one_namespace_and_with_one_selector() {
    let cluster = cluster();
    let space = Space::new(&cluster, "locals");
    let elsewhere = Space::new(&cluster, "elsewhere");
    space.pool(
        "p",
        &["10.3.1.0/32"],
        &json!({"serviceAllocation": {"namespaces": ["locals", "elsewhere"]}}),
    );
    space.service("a", &shared("k", 80, &local("x")));
    space.gets("a", &["10.3.1.0"]);
    space.service("b", &shared("k", 81, &local("x")));
    space.gets("b", &["10.3.1.0"]);
    space.service("c", &shared("k", 82, &local("y")));
    space.told("c", "AllocationFailed", "no available IPs");
    elsewhere.service("d", &shared("k", 83, &local("x")));
    elsewhere.told("d", "AllocationFailed", "no available IPs");
    // With another selector it fits in.
    space.patch("c", &spec(json!({"selector": {"app": "x"}})));
    space.gets("c", &["10.3.1.0"]);
}

#[test]
fn a_sharer_that_no_longer_fits_in_yields_and_comes_back_when_it_fits() {
    let cluster = cluster();
    let space = Space::new(&cluster, "misfit");
    space.pool("p", &["10.3.2.0/32"], &json!({}));
    for (name, port) in [("a", 80), ("b", 81)] {
        space.service(name, &shared("k", port, &spec(json!({"selector": {"app": "x"}}))));
        space.gets(name, &["10.3.2.0"]);
    }
    // The one that changed goes; the other one, which did nothing, stays.
    space.patch("b", &local("x"));
    space.gets("b", &[]);
    space.told("b", "ClearAssignment", "10.3.2.0 is no longer assigned");
    space.told("b", "AllocationFailed", "another externalTrafficPolicy");
    assert_eq!(space.has("a"), ["10.3.2.0"]);
    space.patch("a", &local("x"));
    space.gets("b", &["10.3.2.0"]);
    assert_eq!(space.has("a"), ["10.3.2.0"]);
    // Where there is another address it moves at once.
    space.pool("q", &["10.3.2.1/32"], &json!({}));
    space.patch("b", &annotated("allow-shared-ip", "other"));
    space.gets("b", &["10.3.2.1"]);
    assert_eq!(space.has("a"), ["10.3.2.0"]);
}
