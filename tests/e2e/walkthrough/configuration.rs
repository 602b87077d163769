//! Bad input: each bad object is refused with an error that the user sees. Valid objects stay in
//! use.

use lodestone_tests::NAMESPACE;
use serde_json::json;

use super::{cluster, owner};
use crate::support::TestNamespace;

/// The manifest of a pool.
fn pool(name: &str, addresses: &[&str]) -> String {
    json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"addresses": addresses},
    })
    .to_string()
}

/// Applies a pool that is refused, and returns the error. Asserts that a valid Service still works.
fn refused(name: &str, addresses: &[&str]) -> String {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, name);
    ns.deploy("web", 1);
    let error = format!("{:#}", cluster.apply(&pool(name, addresses)).unwrap_err());
    ns.balance("a", "web", &json!({}));
    let address = ns.address("a");
    owner(&cluster, &address);
    error
}

#[test]
fn p8_pool_that_does_not_parse_is_refused_individually() {
    let error = refused("reversed", &["192.168.122.150-192.168.122.140"]);
    let text = "IPAddressPool reversed: spec.addresses[0]: \"192.168.122.150-192.168.122.140\" ends before it starts";
    assert!(error.contains(text), "{error}");
}

#[test]
fn p8_pool_that_overlaps_an_older_pool_is_refused_individually() {
    let error = refused("overlapping", &["192.168.122.118/31"]);
    assert!(error.contains("of the older IPAddressPool lb-ip-pool"), "{error}");
}

#[test]
fn invalid_fields_are_refused_by_kubectl_apply() {
    let cluster = cluster();
    for (name, addresses, part) in [
        ("empty", &[][..], "a pool needs at least one CIDR or range"),
        ("bare", &["192.168.122.140"], "spec.addresses[0]"),
        ("words", &["192.168.122.140/32", "some addresses"], "spec.addresses[1]"),
    ] {
        let error = cluster.apply(&pool(name, addresses)).expect_err(name).to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn p7_deleting_a_pool_takes_no_address_from_a_service() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "retained");
    ns.deploy("web", 1);
    cluster.apply(&pool("retained", &["192.168.122.140/32"])).unwrap();
    ns.balance("web", "web", &json!({"loadBalancerIP": "192.168.122.140"}));
    assert_eq!(ns.address("web"), "192.168.122.140");
    let advertisement = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": {"name": "all", "namespace": NAMESPACE},
    });
    cluster.apply(&advertisement.to_string()).unwrap();
    owner(&cluster, "192.168.122.140");
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "ipaddresspool", "retained"])
        .unwrap();
    let event = cluster.wait_for_event(&ns.name, "web", "AddressRetained").unwrap();
    assert!(event.contains("the Service keeps 192.168.122.140"), "{event}");
    assert_eq!(ns.address("web"), "192.168.122.140");
    owner(&cluster, "192.168.122.140");
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "l2advertisement", "all"])
        .unwrap();
}
