//! Promise P7: no pool edit, restart, typo or competing Service takes an address in use away.

use lodestone_tests::wait_until;
use serde_json::{Value, json};

use super::{
    LIMIT, TestNamespace, annotated, cluster, delete_pool, merged, restart_controller, wait_for_condition,
    wait_for_metric, with_setting, with_spec, without_controller,
};

#[test]
fn p7_edit_that_cannot_be_met_keeps_the_address_and_says_why() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "typo");
    ns.pool("p", &["10.4.0.0/30"], &json!({}));
    ns.service("other", &with_spec(json!({"loadBalancerIP": "10.4.0.3"})));
    ns.wait_for_addresses("other", &["10.4.0.3"]);
    ns.service("a", &json!({}));
    ns.wait_for_addresses("a", &["10.4.0.0"]);
    for (patch, reason, part) in [
        (
            annotated("loadBalancerIPs", "10.4.0.3"),
            "AllocationFailed",
            "10.4.0.3 is in use by Service typo/other; the Service keeps 10.4.0.0",
        ),
        (
            annotated("loadBalancerIPs", "10.44.0.1"),
            "AllocationFailed",
            "10.44.0.1 is in no IPAddressPool",
        ),
        (annotated("loadBalancerIPs", "10.4.0"), "LoadBalancerFailed", "10.4.0"),
        (
            merged(
                annotated("loadBalancerIPs", Value::Null),
                &annotated("address-pool", "typo"),
            ),
            "AllocationFailed",
            "there is no IPAddressPool typo",
        ),
    ] {
        ns.patch("a", &patch);
        ns.wait_for_event("a", reason, part);
        assert_eq!(ns.addresses_of("a"), ["10.4.0.0"]);
    }
    // The request is met as soon as its address is free.
    let request = merged(
        annotated("address-pool", Value::Null),
        &annotated("loadBalancerIPs", "10.4.0.3"),
    );
    ns.patch("a", &request);
    ns.wait_for_event("a", "AllocationFailed", "10.4.0.3 is in use by Service typo/other");
    ns.kubectl(&["delete", "service", "other"]);
    ns.wait_for_addresses("a", &["10.4.0.3"]);
}

#[test]
fn p7_deleting_shrinking_or_closing_a_pool_retains_its_addresses() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "retain");
    let whole = ["10.4.1.0/31"];
    ns.pool("kept", &whole, &json!({}));
    ns.service("a", &json!({}));
    ns.wait_for_addresses("a", &["10.4.1.0"]);
    let is_retained = |why: &str| {
        ns.wait_for_event("a", "AddressRetained", why);
        wait_for_metric(&cluster, "lodestone_allocator_retained_services{pool=\"kept\"} 1");
        ns.wait_for_controller();
        assert_eq!(ns.addresses_of("a"), ["10.4.1.0"]);
    };
    // The pool shrinks.
    ns.pool("kept", &["10.4.1.1/32"], &json!({}));
    is_retained("no IPAddressPool contains 10.4.1.0 any longer");
    let message = wait_for_condition(&cluster, "kept", "Retained", "True")["message"].to_string();
    assert!(message.contains("retain/a (10.4.1.0)"), "{message}");
    // The pool grows back: the address is no longer only retained.
    ns.pool("kept", &whole, &json!({}));
    wait_for_condition(&cluster, "kept", "Retained", "False");
    // The pool no longer serves the namespace.
    ns.pool(
        "kept",
        &whole,
        &json!({"serviceAllocation": {"namespaces": ["nobody"]}}),
    );
    wait_for_condition(&cluster, "kept", "Retained", "True");
    is_retained("IPAddressPool kept no longer serves this Service");
    // A selector opens it to the namespace; a change of labels closes it.
    let selector =
        json!({"serviceAllocation": {"namespaces": null, "namespaceSelectors": [{"matchLabels": {"open": "yes"}}]}});
    ns.kubectl(&["label", "namespace", "retain", "open=yes"]);
    ns.pool("kept", &whole, &selector);
    wait_for_condition(&cluster, "kept", "Retained", "False");
    ns.kubectl(&["label", "namespace", "retain", "open-"]);
    wait_for_condition(&cluster, "kept", "Retained", "True");
    is_retained("IPAddressPool kept no longer serves this Service");
    // The pool is deleted.
    delete_pool(&cluster, "kept");
    is_retained("no IPAddressPool contains 10.4.1.0 any longer");
    // A new leader knows the retained address, too.
    restart_controller(&cluster);
    is_retained("no IPAddressPool contains 10.4.1.0 any longer");
    // The address is free once its Service is deleted, and not before.
    ns.pool("kept", &whole, &json!({}));
    ns.pool("kept", &["10.4.1.1/32"], &json!({}));
    ns.service("b", &json!({}));
    ns.wait_for_addresses("b", &["10.4.1.1"]);
    ns.service("c", &json!({}));
    ns.wait_for_event("c", "AllocationFailed", "no available IPs");
    ns.kubectl(&["delete", "service", "a"]);
    wait_for_condition(&cluster, "kept", "Retained", "False");
    ns.pool("kept", &whole, &json!({}));
    ns.wait_for_addresses("c", &["10.4.1.0"]);
}

#[test]
fn with_reassign_a_service_moves_only_if_another_address_is_free() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "reassign");
    with_setting(&cluster, "controller.onPoolChange=reassign", || {
        ns.pool("old", &["10.4.2.0/32"], &json!({}));
        ns.service("a", &json!({}));
        ns.wait_for_addresses("a", &["10.4.2.0"]);
        delete_pool(&cluster, "old");
        ns.wait_for_event("a", "AllocationFailed", "the Service keeps 10.4.2.0");
        assert_eq!(ns.addresses_of("a"), ["10.4.2.0"]);
        ns.pool("new", &["10.4.2.8/32"], &json!({}));
        ns.wait_for_addresses("a", &["10.4.2.8"]);
    });
}

#[test]
fn p7_restart_gives_no_assigned_address_to_a_waiting_service() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "restart");
    ns.pool("p", &["10.4.3.0/31"], &json!({}));
    ns.service("b", &json!({}));
    ns.wait_for_addresses("b", &["10.4.3.0"]);
    ns.service("c", &json!({}));
    ns.wait_for_addresses("c", &["10.4.3.1"]);
    // By name, the waiting Service comes before the others.
    ns.service("a", &json!({}));
    ns.wait_for_event("a", "AllocationFailed", "no available IPs");
    for _ in 0..3 {
        restart_controller(&cluster);
        ns.wait_for_controller();
        assert_eq!(
            (ns.addresses_of("a"), ns.addresses_of("b"), ns.addresses_of("c")),
            (vec![], vec!["10.4.3.0".into()], vec!["10.4.3.1".into()])
        );
    }
}

/// The status of a Service with these addresses.
fn ingress(addresses: &[&str]) -> Value {
    let ingress: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    json!({"loadBalancer": {"ingress": ingress}})
}

#[test]
fn p7_of_two_services_with_the_same_address_the_older_keeps_it() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "twice");
    ns.pool("p", &["10.4.4.0/30"], &json!({}));
    ns.service("z-old", &json!({}));
    ns.wait_for_addresses("z-old", &["10.4.4.0"]);
    // Creation timestamps have a resolution of a second.
    let created = |name: &str| ns.kubectl(&["get", "service", name, "-o", "jsonpath={.metadata.creationTimestamp}"]);
    wait_until("a Service created in a later second", LIMIT, || {
        ns.service("a-young", &json!({}));
        let younger = created("a-young") > created("z-old");
        if !younger {
            ns.kubectl(&["delete", "service", "a-young"]);
        }
        younger
    })
    .unwrap();
    ns.wait_for_addresses("a-young", &["10.4.4.1"]);
    without_controller(&cluster, || ns.patch_status("a-young", &ingress(&["10.4.4.0"])));
    ns.wait_for_addresses("a-young", &["10.4.4.1"]);
    ns.wait_for_controller();
    assert_eq!(ns.addresses_of("z-old"), ["10.4.4.0"]);
}

#[test]
fn p7_status_edited_by_hand_is_adopted_if_valid_or_else_repaired() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "edited");
    ns.pool("p", &["10.4.5.0/30"], &json!({}));
    ns.service("a", &json!({}));
    ns.wait_for_addresses("a", &["10.4.5.0"]);
    ns.service("b", &json!({}));
    ns.wait_for_addresses("b", &["10.4.5.1"]);
    // A free address of the pool is adopted, and the previous one is released.
    ns.patch_status("a", &ingress(&["10.4.5.3"]));
    ns.wait_for_controller();
    assert_eq!(ns.addresses_of("a"), ["10.4.5.3"]);
    ns.service("c", &json!({}));
    ns.wait_for_addresses("c", &["10.4.5.0"]);
    // An address in use, an address of no pool, and no address at all are repaired.
    for addresses in [&["10.4.5.1"][..], &["172.16.0.1"], &[]] {
        ns.patch_status("a", &ingress(addresses));
        ns.wait_for_addresses("a", &["10.4.5.3"]);
    }
    assert_eq!(ns.addresses_of("b"), ["10.4.5.1"]);
    // Fields that others add to an address stay.
    let with_mode = json!({"loadBalancer": {"ingress": [{"ip": "10.4.5.3", "ipMode": "Proxy"}]}});
    ns.patch_status("a", &with_mode);
    ns.wait_for_controller();
    let path = "jsonpath={.status.loadBalancer.ingress[0].ip} {.status.loadBalancer.ingress[0].ipMode}";
    assert_eq!(ns.kubectl(&["get", "service", "a", "-o", path]), "10.4.5.3 Proxy");
}

#[test]
fn p7_service_that_changes_its_type_releases_its_address() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "leaves");
    ns.pool("p", &["10.4.6.0/31"], &json!({}));
    ns.service("a", &json!({}));
    ns.wait_for_addresses("a", &["10.4.6.0"]);
    ns.patch("a", &with_spec(json!({"type": "ClusterIP"})));
    ns.wait_for_addresses("a", &[]);
    ns.service("b", &json!({}));
    ns.wait_for_addresses("b", &["10.4.6.0"]);
    ns.patch("a", &with_spec(json!({"type": "LoadBalancer"})));
    ns.wait_for_addresses("a", &["10.4.6.1"]);
}
