//! Promise P7: an address in use is never taken away by an edit of a pool, a restart, a typo or a competing Service.

use lodestone_tests::NAMESPACE;
use serde_json::json;

use super::{CONTROLLER, Space, annotated, cluster, condition, metric, spec, with_setting, without_controller};

#[test]
fn p7_an_unmet_request_keeps_the_old_address() {
    let cluster = cluster();
    let space = Space::new(&cluster, "typo");
    space.pool("p", &["10.4.0.0/30"], &json!({}));
    space.service("other", &spec(json!({"loadBalancerIP": "10.4.0.3"})));
    space.gets("other", &["10.4.0.3"]);
    space.service("a", &json!({}));
    space.gets("a", &["10.4.0.0"]);
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
            json!({"metadata": {"annotations": {"metallb.io/loadBalancerIPs": null, "metallb.io/address-pool": "typo"}}}),
            "AllocationFailed",
            "there is no IPAddressPool typo",
        ),
    ] {
        space.patch("a", &patch);
        space.told("a", reason, part);
        assert_eq!(space.has("a"), ["10.4.0.0"]);
    }
    // As soon as it can be met, it is.
    space.patch("a", &json!({"metadata": {"annotations": {"metallb.io/address-pool": null, "metallb.io/loadBalancerIPs": "10.4.0.3"}}}));
    space.told("a", "AllocationFailed", "10.4.0.3 is in use by Service typo/other");
    space.kubectl(&["delete", "service", "other"]);
    space.gets("a", &["10.4.0.3"]);
}

#[test]
fn p7_a_pool_that_is_deleted_shrunk_relabelled_or_closed_retains() {
    let cluster = cluster();
    let space = Space::new(&cluster, "retain");
    let whole = ["10.4.1.0/31"];
    space.pool("kept", &whole, &json!({}));
    space.service("a", &json!({}));
    space.gets("a", &["10.4.1.0"]);
    let keeps = |why: &str| {
        space.told("a", "AddressRetained", why);
        metric(&cluster, "lodestone_allocator_retained_services{pool=\"kept\"} 1");
        space.settled();
        assert_eq!(space.has("a"), ["10.4.1.0"]);
    };
    // Shrunk.
    space.pool("kept", &["10.4.1.1/32"], &json!({}));
    keeps("no IPAddressPool holds 10.4.1.0 any more");
    let message = condition(&cluster, "kept", "Retained", "True")["message"].to_string();
    assert!(message.contains("retain/a (10.4.1.0)"), "{message}");
    // Whole again: nothing to retain.
    space.pool("kept", &whole, &json!({}));
    condition(&cluster, "kept", "Retained", "False");
    // Closed to its Service, by namespace and by label.
    space.pool(
        "kept",
        &whole,
        &json!({"serviceAllocation": {"namespaces": ["nobody"]}}),
    );
    condition(&cluster, "kept", "Retained", "True");
    keeps("IPAddressPool kept no longer serves this Service");
    // Opened by a selector of namespaces, and closed by a change of labels.
    let selector =
        json!({"serviceAllocation": {"namespaces": null, "namespaceSelectors": [{"matchLabels": {"open": "yes"}}]}});
    space.kubectl(&["label", "namespace", "retain", "open=yes"]);
    space.pool("kept", &whole, &selector);
    condition(&cluster, "kept", "Retained", "False");
    space.kubectl(&["label", "namespace", "retain", "open-"]);
    condition(&cluster, "kept", "Retained", "True");
    keeps("IPAddressPool kept no longer serves this Service");
    // Deleted.
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "ipaddresspool", "kept"])
        .unwrap();
    keeps("no IPAddressPool holds 10.4.1.0 any more");
    // It survives a restart of the controller, and is released when the Service goes.
    cluster
        .kubectl(&["-n", NAMESPACE, "rollout", "restart", CONTROLLER])
        .unwrap();
    cluster.wait_for_lodestone().unwrap();
    keeps("no IPAddressPool holds 10.4.1.0 any more");
    space.pool("kept", &whole, &json!({}));
    space.pool("kept", &["10.4.1.1/32"], &json!({}));
    space.service("b", &json!({}));
    space.gets("b", &["10.4.1.1"]);
    space.service("c", &json!({}));
    space.told("c", "AllocationFailed", "no available IPs");
    space.kubectl(&["delete", "service", "a"]);
    condition(&cluster, "kept", "Retained", "False");
    space.pool("kept", &whole, &json!({}));
    space.gets("c", &["10.4.1.0"]);
}

#[test]
fn with_reassign_a_service_moves_when_there_is_another_address_and_stays_when_there_is_none() {
    let cluster = cluster();
    let space = Space::new(&cluster, "reassign");
    with_setting(&cluster, "controller.onPoolChange=reassign", || {
        space.pool("old", &["10.4.2.0/32"], &json!({}));
        space.service("a", &json!({}));
        space.gets("a", &["10.4.2.0"]);
        cluster
            .kubectl(&["-n", NAMESPACE, "delete", "ipaddresspool", "old"])
            .unwrap();
        space.told("a", "AllocationFailed", "the Service keeps 10.4.2.0");
        assert_eq!(space.has("a"), ["10.4.2.0"]);
        space.pool("new", &["10.4.2.8/32"], &json!({}));
        space.gets("a", &["10.4.2.8"]);
    });
}

#[test]
fn p7_a_restart_with_services_that_wait_takes_nothing_from_those_that_have() {
    let cluster = cluster();
    let space = Space::new(&cluster, "restart");
    space.pool("p", &["10.4.3.0/31"], &json!({}));
    space.service("b", &json!({}));
    space.gets("b", &["10.4.3.0"]);
    space.service("c", &json!({}));
    space.gets("c", &["10.4.3.1"]);
    // By name and by age others come before them.
    space.service("a", &json!({}));
    space.told("a", "AllocationFailed", "no available IPs");
    for _ in 0..3 {
        cluster
            .kubectl(&["-n", NAMESPACE, "rollout", "restart", CONTROLLER])
            .unwrap();
        cluster.wait_for_lodestone().unwrap();
        space.settled();
        assert_eq!(
            (space.has("a"), space.has("b"), space.has("c")),
            (vec![], vec!["10.4.3.0".into()], vec!["10.4.3.1".into()])
        );
    }
}

#[test]
fn p7_of_two_services_with_one_address_in_status_the_older_keeps_it() {
    let cluster = cluster();
    let space = Space::new(&cluster, "twice");
    space.pool("p", &["10.4.4.0/30"], &json!({}));
    space.service("z-old", &json!({}));
    space.gets("z-old", &["10.4.4.0"]);
    // Objects are dated to the second.
    let born = |name: &str| space.kubectl(&["get", "service", name, "-o", "jsonpath={.metadata.creationTimestamp}"]);
    lodestone_tests::wait_until("a younger Service", super::LIMIT, || {
        space.service("a-young", &json!({}));
        let younger = born("a-young") > born("z-old");
        if !younger {
            space.kubectl(&["delete", "service", "a-young"]);
        }
        younger
    })
    .unwrap();
    space.gets("a-young", &["10.4.4.1"]);
    without_controller(&cluster, || space.patch_status("a-young", &["10.4.4.0"]));
    space.gets("a-young", &["10.4.4.1"]);
    space.settled();
    assert_eq!(space.has("z-old"), ["10.4.4.0"]);
}

#[test]
fn p7_a_status_edited_by_hand_is_followed_where_it_could_be_and_mended_where_not() {
    let cluster = cluster();
    let space = Space::new(&cluster, "edited");
    space.pool("p", &["10.4.5.0/30"], &json!({}));
    space.service("a", &json!({}));
    space.gets("a", &["10.4.5.0"]);
    space.service("b", &json!({}));
    space.gets("b", &["10.4.5.1"]);
    // To a free one of the pool: followed, and the old one is free.
    space.patch_status("a", &["10.4.5.3"]);
    space.settled();
    assert_eq!(space.has("a"), ["10.4.5.3"]);
    space.service("c", &json!({}));
    space.gets("c", &["10.4.5.0"]);
    // To somebody else's, to none of ours, to nonsense and to nothing: mended.
    for addresses in [&["10.4.5.1"][..], &["172.16.0.1"], &[]] {
        space.patch_status("a", addresses);
        space.gets("a", &["10.4.5.3"]);
    }
    assert_eq!(space.has("b"), ["10.4.5.1"]);
    // What another one puts beside an address stays.
    let mode = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"10.4.5.3","ipMode":"Proxy"}]}}}"#;
    space.kubectl(&[
        "patch",
        "service",
        "a",
        "--subresource=status",
        "--type=merge",
        "-p",
        mode,
    ]);
    space.settled();
    let path = "jsonpath={.status.loadBalancer.ingress[0].ip} {.status.loadBalancer.ingress[0].ipMode}";
    assert_eq!(space.kubectl(&["get", "service", "a", "-o", path]), "10.4.5.3 Proxy");
}

#[test]
fn p7_a_service_that_leaves_the_type_frees_its_address_and_gets_one_when_it_comes_back() {
    let cluster = cluster();
    let space = Space::new(&cluster, "leaves");
    space.pool("p", &["10.4.6.0/31"], &json!({}));
    space.service("a", &json!({}));
    space.gets("a", &["10.4.6.0"]);
    space.patch("a", &spec(json!({"type": "ClusterIP"})));
    space.gets("a", &[]);
    space.service("b", &json!({}));
    space.gets("b", &["10.4.6.0"]);
    space.patch("a", &spec(json!({"type": "LoadBalancer"})));
    space.gets("a", &["10.4.6.1"]);
}
