//! Services that share an address.

use serde_json::{Value, json};

use super::{TestNamespace, annotated, cluster, merged, with_spec};

fn shared(key: &str, port: u16, more: &Value) -> Value {
    let ports = with_spec(json!({"ports": [{"name": "a", "port": port}]}));
    merged(merged(annotated("allow-shared-ip", key), &ports), more)
}

fn local(selector: &str) -> Value {
    with_spec(json!({"externalTrafficPolicy": "Local", "selector": {"app": selector}}))
}

#[test]
fn services_share_an_address_with_equal_keys_and_different_ports() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "shared");
    ns.pool("p", &["10.3.0.0/32"], &json!({}));
    ns.service("first", &shared("k", 80, &json!({})));
    ns.wait_for_addresses("first", &["10.3.0.0"]);
    ns.service("second", &shared("k", 81, &json!({})));
    ns.wait_for_addresses("second", &["10.3.0.0"]);
    let udp = with_spec(json!({"ports": [{"name": "a", "port": 80, "protocol": "UDP"}]}));
    ns.service("udp", &shared("k", 80, &udp));
    ns.wait_for_addresses("udp", &["10.3.0.0"]);
    let asks = with_spec(json!({"loadBalancerIP": "10.3.0.0"}));
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
            merged(asks.clone(), &with_spec(json!({"ports": [{"port": 90}]}))),
            "10.3.0.0 is in use by Service",
        ),
        (
            "local",
            shared("k", 90, &merged(asks.clone(), &local("x"))),
            "externalTrafficPolicy",
        ),
    ] {
        ns.service(name, &more);
        ns.wait_for_event(name, "AllocationFailed", part);
        assert_eq!(ns.addresses_of(name), [""; 0]);
    }
    // The Kubernetes API defines a condition for a Service whose port is in use.
    let status = "jsonpath={.status.conditions[?(@.type==\"LoadBalancerPortsError\")].status}";
    assert_eq!(ns.kubectl(&["get", "service", "same-port", "-o", status]), "True");
    ns.kubectl(&["delete", "service", "second"]);
    ns.wait_for_addresses("same-port", &["10.3.0.0"]);
    assert_eq!(ns.kubectl(&["get", "service", "same-port", "-o", status]), "False");
}

#[test]
fn local_services_share_only_with_equal_namespace_and_selector() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "locals");
    let elsewhere = TestNamespace::create(&cluster, "elsewhere");
    ns.pool(
        "p",
        &["10.3.1.0/32"],
        &json!({"serviceAllocation": {"namespaces": ["locals", "elsewhere"]}}),
    );
    ns.service("a", &shared("k", 80, &local("x")));
    ns.wait_for_addresses("a", &["10.3.1.0"]);
    ns.service("b", &shared("k", 81, &local("x")));
    ns.wait_for_addresses("b", &["10.3.1.0"]);
    ns.service("c", &shared("k", 82, &local("y")));
    ns.wait_for_event("c", "AllocationFailed", "no available IPs");
    elsewhere.service("d", &shared("k", 83, &local("x")));
    elsewhere.wait_for_event("d", "AllocationFailed", "no available IPs");
    // With the same selector it may share.
    ns.patch("c", &with_spec(json!({"selector": {"app": "x"}})));
    ns.wait_for_addresses("c", &["10.3.1.0"]);
}

#[test]
fn service_that_may_no_longer_share_yields_until_it_may_again() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "misfit");
    ns.pool("p", &["10.3.2.0/32"], &json!({}));
    for (name, port) in [("a", 80), ("b", 81)] {
        ns.service(name, &shared("k", port, &with_spec(json!({"selector": {"app": "x"}}))));
        ns.wait_for_addresses(name, &["10.3.2.0"]);
    }
    // The Service that changed loses the address; the unchanged one keeps it.
    ns.patch("b", &local("x"));
    ns.wait_for_addresses("b", &[]);
    ns.wait_for_event("b", "ClearAssignment", "10.3.2.0 is no longer assigned");
    ns.wait_for_event("b", "AllocationFailed", "another externalTrafficPolicy");
    assert_eq!(ns.addresses_of("a"), ["10.3.2.0"]);
    ns.patch("a", &local("x"));
    ns.wait_for_addresses("b", &["10.3.2.0"]);
    assert_eq!(ns.addresses_of("a"), ["10.3.2.0"]);
    // If another address is free, it moves there at once.
    ns.pool("q", &["10.3.2.1/32"], &json!({}));
    ns.patch("b", &annotated("allow-shared-ip", "other"));
    ns.wait_for_addresses("b", &["10.3.2.1"]);
    assert_eq!(ns.addresses_of("a"), ["10.3.2.0"]);
}
