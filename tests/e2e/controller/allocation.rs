//! Which address a Service gets from which pool.

use lodestone_tests::{NAMESPACE, wait_until};
use serde_json::{Value, json};

use super::{LIMIT, TestNamespace, annotated, cluster, merged, with_setting, with_spec};

#[test]
fn pools_are_used_by_priority_then_by_name() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "priority");
    // Pools without a priority come last.
    let priority = |priority: u8| json!({"serviceAllocation": {"priority": priority}});
    ns.pool("d-none", &["10.1.0.4/32"], &json!({}));
    ns.pool("a-twenty", &["10.1.0.3/32"], &priority(20));
    ns.pool("c-ten", &["10.1.0.2/32"], &priority(10));
    ns.pool("b-ten", &["10.1.0.1/32"], &priority(10));
    for (name, address) in [
        ("s1", "10.1.0.1"),
        ("s2", "10.1.0.2"),
        ("s3", "10.1.0.3"),
        ("s4", "10.1.0.4"),
    ] {
        ns.service(name, &json!({}));
        ns.wait_for_addresses(name, &[address]);
    }
    assert_eq!(ns.annotation("s3", "metallb.io/ip-allocated-from-pool"), "a-twenty");
}

#[test]
fn pools_serve_only_the_namespaces_and_services_they_select() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "selected");
    let allocation = |more| json!({"serviceAllocation": more});
    ns.pool(
        "by-namespace-label",
        &["10.1.1.1/32"],
        &allocation(json!({"namespaces": null, "namespaceSelectors": [{"matchLabels": {"for": "selected"}}]})),
    );
    ns.pool(
        "by-service-label",
        &["10.1.1.2/32"],
        &allocation(json!({"serviceSelectors": [{"matchLabels": {"a": "b"}}, {"matchLabels": {"c": "d"}}]})),
    );
    ns.pool(
        "another-namespace",
        &["10.1.1.3/32"],
        &allocation(json!({"namespaces": ["default"]})),
    );
    ns.service("plain", &json!({}));
    ns.wait_for_event("plain", "AllocationFailed", "no IPAddressPool serves this Service");
    // A request for an address of such a pool does not help.
    ns.service("asks", &with_spec(json!({"loadBalancerIP": "10.1.1.3"})));
    ns.wait_for_event(
        "asks",
        "AllocationFailed",
        "IPAddressPool another-namespace does not serve this Service",
    );
    ns.service("labelled", &json!({"metadata": {"labels": {"c": "d"}}}));
    ns.wait_for_addresses("labelled", &["10.1.1.2"]);
    assert_eq!(ns.addresses_of("plain"), [""; 0]);
    // With the label, the namespace matches the selector of a pool.
    ns.kubectl(&["label", "namespace", "selected", "for=selected"]);
    ns.wait_for_addresses("plain", &["10.1.1.1"]);
}

#[test]
fn pool_without_auto_assign_serves_only_services_that_request_it() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "named");
    ns.pool("closed", &["10.1.2.0/30"], &json!({"autoAssign": false}));
    ns.service("plain", &json!({}));
    ns.service("by-pool", &annotated("address-pool", "closed"));
    ns.wait_for_addresses("by-pool", &["10.1.2.0"]);
    ns.service("by-address", &with_spec(json!({"loadBalancerIP": "10.1.2.2"})));
    ns.wait_for_addresses("by-address", &["10.1.2.2"]);
    ns.service("by-annotation", &annotated("loadBalancerIPs", "10.1.2.1"));
    ns.wait_for_addresses("by-annotation", &["10.1.2.1"]);
    ns.service(
        "both",
        &merged(
            annotated("loadBalancerIPs", "10.1.2.3"),
            &annotated("address-pool", "nowhere"),
        ),
    );
    ns.wait_for_event("both", "AllocationFailed", "asks for pool nowhere");
    assert_eq!(ns.addresses_of("plain"), [""; 0]);
    // Removing the request changes nothing.
    ns.patch("by-pool", &annotated("address-pool", Value::Null));
    ns.wait_for_controller();
    ns.wait_for_addresses("by-pool", &["10.1.2.0"]);
}

#[test]
fn annotations_with_the_old_prefix_work_with_a_warning() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "prefixes");
    ns.pool("p", &["10.1.3.0/29"], &json!({}));
    let old = json!({"metadata": {"annotations": {"metallb.universe.tf/loadBalancerIPs": "10.1.3.5"}}});
    ns.service("old", &old);
    ns.wait_for_addresses("old", &["10.1.3.5"]);
    ns.wait_for_event("old", "deprecatedAnnotation", "metallb.io/");
    // The annotation with the new prefix wins.
    ns.service("new", &merged(old, &annotated("loadBalancerIPs", "10.1.3.6")));
    ns.wait_for_addresses("new", &["10.1.3.6"]);
}

#[test]
fn requests_that_cannot_be_met_are_refused_with_the_reason() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "unmet");
    ns.pool("p", &["10.1.4.0/29"], &json!({}));
    for (name, more, part) in [
        ("words", annotated("loadBalancerIPs", "ten"), "ten"),
        (
            "outside",
            annotated("loadBalancerIPs", "10.9.9.9"),
            "10.9.9.9 is in no IPAddressPool",
        ),
        ("two", annotated("loadBalancerIPs", "10.1.4.1,10.1.4.2"), "10.1.4.1"),
        (
            "twice",
            merged(
                annotated("loadBalancerIPs", "10.1.4.1"),
                &with_spec(json!({"loadBalancerIP": "10.1.4.1"})),
            ),
            "loadBalancerIP",
        ),
        ("family", annotated("loadBalancerIPs", "2001:db8::1"), "IPv6"),
        (
            "pool",
            annotated("address-pool", "nowhere"),
            "there is no IPAddressPool nowhere",
        ),
    ] {
        ns.service(name, &more);
        ns.wait_for_event(name, "AllocationFailed", part);
        assert_eq!(ns.addresses_of(name), [""; 0]);
    }
}

#[test]
fn avoid_buggy_ips_skips_addresses_ending_in_0_and_255() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "buggy");
    ns.pool("p", &["10.1.5.255-10.1.6.1"], &json!({"avoidBuggyIPs": true}));
    ns.service("a", &json!({}));
    ns.wait_for_addresses("a", &["10.1.6.1"]);
    ns.service("b", &with_spec(json!({"loadBalancerIP": "10.1.6.0"})));
    ns.wait_for_event("b", "AllocationFailed", "10.1.6.0 is in no IPAddressPool");
}

#[test]
fn huge_pools_are_allocated_from_and_counted_without_delay() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "huge");
    ns.pool("huge", &["11.0.0.0/8", "2001:db8::/32"], &json!({}));
    ns.service("a", &json!({}));
    ns.wait_for_addresses("a", &["11.0.0.0"]);
    ns.service("b", &with_spec(json!({"loadBalancerIP": "11.255.255.255"})));
    ns.wait_for_addresses("b", &["11.255.255.255"]);
    let counters =
        "jsonpath={.status.assignedIPv4} {.status.availableIPv4} {.status.assignedIPv6} {.status.availableIPv6}";
    let counted = || {
        cluster
            .kubectl(&["-n", NAMESPACE, "get", "ipaddresspool", "huge", "-o", counters])
            .unwrap()
    };
    let waited = wait_until("the counters", LIMIT, || {
        counted() == "2 16777214 0 9223372036854775807"
    });
    assert!(waited.is_ok(), "{}", counted());
}

#[test]
fn waiting_service_gets_an_address_as_soon_as_one_is_free() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "waiting");
    ns.pool("p", &["10.1.7.0/31"], &json!({}));
    for name in ["a", "b"] {
        ns.service(name, &json!({}));
    }
    ns.wait_for_addresses("a", &["10.1.7.0"]);
    ns.wait_for_addresses("b", &["10.1.7.1"]);
    ns.service("c", &json!({}));
    ns.wait_for_event("c", "AllocationFailed", "no available IPs");
    // Freed by a deletion.
    ns.kubectl(&["delete", "service", "a"]);
    ns.wait_for_addresses("c", &["10.1.7.0"]);
    // Freed by a change of type.
    ns.service("d", &json!({}));
    ns.patch("b", &with_spec(json!({"type": "ClusterIP"})));
    ns.wait_for_addresses("d", &["10.1.7.1"]);
    // Freed by a move to another address.
    ns.service("e", &json!({}));
    ns.wait_for_event("e", "AllocationFailed", "no available IPs");
    ns.pool("q", &["10.1.7.8/32"], &json!({"autoAssign": false}));
    ns.patch("d", &annotated("loadBalancerIPs", "10.1.7.8"));
    ns.wait_for_addresses("d", &["10.1.7.8"]);
    ns.wait_for_addresses("e", &["10.1.7.1"]);
    // Added to the pool.
    ns.service("f", &json!({}));
    ns.wait_for_event("f", "AllocationFailed", "no available IPs");
    ns.pool("p", &["10.1.7.0/30"], &json!({}));
    ns.wait_for_addresses("f", &["10.1.7.2"]);
}

#[test]
fn only_services_of_our_class_have_an_address() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "classes");
    ns.pool("p", &["10.1.8.0/29"], &json!({}));
    let class = |name: &str| with_spec(json!({"loadBalancerClass": name}));
    with_setting(&cluster, "loadBalancerClass=example.com/ours", || {
        ns.service("none", &json!({}));
        ns.service("other", &class("example.com/other"));
        ns.service("ours", &class("example.com/ours"));
        ns.wait_for_addresses("ours", &["10.1.8.0"]);
        assert_eq!((ns.addresses_of("none"), ns.addresses_of("other")), (vec![], vec![]));
        // Kubernetes requires removing the class together with the type. The controller then
        // removes all it has written.
        ns.patch(
            "ours",
            &with_spec(json!({"type": "ClusterIP", "loadBalancerClass": null})),
        );
        ns.wait_for_addresses("ours", &[]);
        let removed = || ns.annotation("ours", "metallb.io/ip-allocated-from-pool").is_empty();
        wait_until("the annotation to disappear", LIMIT, removed).unwrap();
        ns.service("next", &class("example.com/ours"));
        ns.wait_for_addresses("next", &["10.1.8.0"]);
        ns.patch(
            "ours",
            &with_spec(json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/ours"})),
        );
        ns.wait_for_addresses("ours", &["10.1.8.1"]);
    });
    // A controller without a class does not own these Services: it leaves them unchanged and does
    // not reuse their addresses.
    ns.wait_for_addresses("none", &["10.1.8.2"]);
    assert_eq!(
        (ns.addresses_of("next"), ns.addresses_of("ours")),
        (vec!["10.1.8.0".into()], vec!["10.1.8.1".into()])
    );
    ns.kubectl(&["delete", "service", "next"]);
    ns.service("another", &json!({}));
    ns.wait_for_addresses("another", &["10.1.8.0"]);
}
