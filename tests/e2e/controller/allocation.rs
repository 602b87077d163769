//! Which address a Service gets.

use lodestone_tests::{NAMESPACE, wait_until};
use serde_json::json;

use super::{LIMIT, Space, annotated, both, cluster, spec, with_setting};

#[test]
fn pools_are_used_by_priority_and_then_by_name_and_those_without_one_last() {
    let cluster = cluster();
    let space = Space::new(&cluster, "priority");
    let priority = |priority: u8| json!({"serviceAllocation": {"priority": priority}});
    space.pool("d-none", &["10.1.0.4/32"], &json!({}));
    space.pool("a-twenty", &["10.1.0.3/32"], &priority(20));
    space.pool("c-ten", &["10.1.0.2/32"], &priority(10));
    space.pool("b-ten", &["10.1.0.1/32"], &priority(10));
    for (name, address) in [
        ("s1", "10.1.0.1"),
        ("s2", "10.1.0.2"),
        ("s3", "10.1.0.3"),
        ("s4", "10.1.0.4"),
    ] {
        space.service(name, &json!({}));
        space.gets(name, &[address]);
    }
    assert_eq!(space.annotation("s3", "metallb.io/ip-allocated-from-pool"), "a-twenty");
}

#[test]
fn pools_serve_the_namespaces_and_the_services_that_they_select() {
    let cluster = cluster();
    let space = Space::new(&cluster, "selected");
    let allocation = |more| json!({"serviceAllocation": more});
    space.pool(
        "by-namespace-label",
        &["10.1.1.1/32"],
        &allocation(json!({"namespaces": null, "namespaceSelectors": [{"matchLabels": {"for": "selected"}}]})),
    );
    space.pool(
        "by-service-label",
        &["10.1.1.2/32"],
        &allocation(json!({"serviceSelectors": [{"matchLabels": {"a": "b"}}, {"matchLabels": {"c": "d"}}]})),
    );
    space.pool(
        "another-namespace",
        &["10.1.1.3/32"],
        &allocation(json!({"namespaces": ["default"]})),
    );
    space.service("plain", &json!({}));
    space.told("plain", "AllocationFailed", "no IPAddressPool serves this Service");
    // Asked for by name, each says no all the same.
    space.service("asks", &spec(json!({"loadBalancerIP": "10.1.1.3"})));
    space.told(
        "asks",
        "AllocationFailed",
        "IPAddressPool another-namespace does not serve this Service",
    );
    space.service("labelled", &json!({"metadata": {"labels": {"c": "d"}}}));
    space.gets("labelled", &["10.1.1.2"]);
    assert_eq!(space.has("plain"), [""; 0]);
    // The namespace gets its label: then the pool is open to it.
    space.kubectl(&["label", "namespace", "selected", "for=selected"]);
    space.gets("plain", &["10.1.1.1"]);
}

#[test]
fn a_pool_that_is_not_assigned_by_itself_serves_those_who_name_it() {
    let cluster = cluster();
    let space = Space::new(&cluster, "named");
    space.pool("closed", &["10.1.2.0/30"], &json!({"autoAssign": false}));
    space.service("plain", &json!({}));
    space.service("by-pool", &annotated("address-pool", "closed"));
    space.gets("by-pool", &["10.1.2.0"]);
    space.service("by-address", &spec(json!({"loadBalancerIP": "10.1.2.2"})));
    space.gets("by-address", &["10.1.2.2"]);
    space.service("by-annotation", &annotated("loadBalancerIPs", "10.1.2.1"));
    space.gets("by-annotation", &["10.1.2.1"]);
    space.service(
        "both",
        &both(
            annotated("loadBalancerIPs", "10.1.2.3"),
            &annotated("address-pool", "nowhere"),
        ),
    );
    space.told("both", "AllocationFailed", "asks for pool nowhere");
    assert_eq!(space.has("plain"), [""; 0]);
    // Nothing changes when the request goes.
    space.patch("by-pool", &annotated_null("address-pool"));
    space.settled();
    space.gets("by-pool", &["10.1.2.0"]);
}

#[test]
fn annotations_of_the_old_prefix_count_where_there_is_none_of_the_new_and_are_warned_about() {
    let cluster = cluster();
    let space = Space::new(&cluster, "prefixes");
    space.pool("p", &["10.1.3.0/29"], &json!({}));
    let old = json!({"metadata": {"annotations": {"metallb.universe.tf/loadBalancerIPs": "10.1.3.5"}}});
    space.service("old", &old);
    space.gets("old", &["10.1.3.5"]);
    space.told("old", "deprecatedAnnotation", "metallb.io/");
    space.service("new", &both(old, &annotated("loadBalancerIPs", "10.1.3.6")));
    space.gets("new", &["10.1.3.6"]);
}

#[test]
fn requests_that_can_never_be_met_say_why() {
    let cluster = cluster();
    let space = Space::new(&cluster, "unmet");
    space.pool("p", &["10.1.4.0/29"], &json!({}));
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
            both(
                annotated("loadBalancerIPs", "10.1.4.1"),
                &spec(json!({"loadBalancerIP": "10.1.4.1"})),
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
        space.service(name, &more);
        space.told(name, "AllocationFailed", part);
        assert_eq!(space.has(name), [""; 0]);
    }
}

#[test]
fn addresses_that_end_in_0_or_255_are_left_out_on_demand() {
    let cluster = cluster();
    let space = Space::new(&cluster, "buggy");
    space.pool("p", &["10.1.5.255-10.1.6.1"], &json!({"avoidBuggyIPs": true}));
    space.service("a", &json!({}));
    space.gets("a", &["10.1.6.1"]);
    space.service("b", &spec(json!({"loadBalancerIP": "10.1.6.0"})));
    space.told("b", "AllocationFailed", "10.1.6.0 is in no IPAddressPool");
}

#[test]
fn pools_of_any_size_are_used_and_counted_at_once() {
    let cluster = cluster();
    let space = Space::new(&cluster, "huge");
    space.pool("huge", &["11.0.0.0/8", "2001:db8::/32"], &json!({}));
    space.service("a", &json!({}));
    space.gets("a", &["11.0.0.0"]);
    space.service("b", &spec(json!({"loadBalancerIP": "11.255.255.255"})));
    space.gets("b", &["11.255.255.255"]);
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
fn a_waiting_service_gets_its_address_as_soon_as_any_one_is_freed() {
    let cluster = cluster();
    let space = Space::new(&cluster, "waiting");
    space.pool("p", &["10.1.7.0/31"], &json!({}));
    for name in ["a", "b"] {
        space.service(name, &json!({}));
    }
    space.gets("a", &["10.1.7.0"]);
    space.gets("b", &["10.1.7.1"]);
    space.service("c", &json!({}));
    space.told("c", "AllocationFailed", "no available IPs");
    // By deletion.
    space.kubectl(&["delete", "service", "a"]);
    space.gets("c", &["10.1.7.0"]);
    // By a change of type.
    space.service("d", &json!({}));
    space.patch("b", &spec(json!({"type": "ClusterIP"})));
    space.gets("d", &["10.1.7.1"]);
    // By a move to another address.
    space.service("e", &json!({}));
    space.told("e", "AllocationFailed", "no available IPs");
    space.pool("q", &["10.1.7.8/32"], &json!({"autoAssign": false}));
    space.patch("d", &annotated("loadBalancerIPs", "10.1.7.8"));
    space.gets("d", &["10.1.7.8"]);
    space.gets("e", &["10.1.7.1"]);
    // By a pool that grows.
    space.service("f", &json!({}));
    space.told("f", "AllocationFailed", "no available IPs");
    space.pool("p", &["10.1.7.0/30"], &json!({}));
    space.gets("f", &["10.1.7.2"]);
}

#[test]
fn only_services_of_our_class_are_served_and_they_are_released_when_they_leave_it() {
    let cluster = cluster();
    let space = Space::new(&cluster, "classes");
    space.pool("p", &["10.1.8.0/29"], &json!({}));
    let class = |name: &str| spec(json!({"loadBalancerClass": name}));
    with_setting(&cluster, "loadBalancerClass=example.com/ours", || {
        space.service("none", &json!({}));
        space.service("other", &class("example.com/other"));
        space.service("ours", &class("example.com/ours"));
        space.gets("ours", &["10.1.8.0"]);
        assert_eq!((space.has("none"), space.has("other")), (vec![], vec![]));
        // Kubernetes takes the class away together with the type: nothing of ours stays behind.
        space.patch("ours", &spec(json!({"type": "ClusterIP", "loadBalancerClass": null})));
        space.gets("ours", &[]);
        let unmarked = || space.annotation("ours", "metallb.io/ip-allocated-from-pool").is_empty();
        wait_until("the annotation to go", LIMIT, unmarked).unwrap();
        space.service("next", &class("example.com/ours"));
        space.gets("next", &["10.1.8.0"]);
        space.patch(
            "ours",
            &spec(json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/ours"})),
        );
        space.gets("ours", &["10.1.8.1"]);
    });
    // To a controller of another class those are somebody else's: it leaves them alone, and gives their addresses to nobody.
    space.gets("none", &["10.1.8.2"]);
    assert_eq!(
        (space.has("next"), space.has("ours")),
        (vec!["10.1.8.0".into()], vec!["10.1.8.1".into()])
    );
    space.kubectl(&["delete", "service", "next"]);
    space.service("another", &json!({}));
    space.gets("another", &["10.1.8.0"]);
}

/// An annotation taken away.
fn annotated_null(key: &str) -> serde_json::Value {
    json!({"metadata": {"annotations": {format!("metallb.io/{key}"): null}}})
}
