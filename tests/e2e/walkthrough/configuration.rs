//! Bad input: it is refused by itself, the user is told where the user looks, and everything else goes on.

use lodestone_tests::NAMESPACE;
use serde_json::json;

use super::{Space, cluster, owner};

fn pool(name: &str, addresses: &[&str]) -> String {
    json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"addresses": addresses},
    })
    .to_string()
}

/// Applies a pool that is refused, and gives what kubectl says. Everything else goes on.
fn refused(name: &str, addresses: &[&str]) -> String {
    let cluster = cluster();
    let space = Space::new(&cluster, name);
    space.pods("web", 1);
    let error = format!("{:#}", cluster.apply(&pool(name, addresses)).unwrap_err());
    space.service("a", "web", &json!({}));
    let address = space.address("a");
    owner(&cluster, &address);
    error
}

#[test]
fn p8_a_pool_that_does_not_parse_is_refused_by_itself() {
    let error = refused("reversed", &["192.168.122.150-192.168.122.140"]);
    let text = "IPAddressPool reversed: spec.addresses[0]: \"192.168.122.150-192.168.122.140\" ends before it starts";
    assert!(error.contains(text), "{error}");
}

#[test]
fn p8_a_pool_that_overlaps_an_older_one_is_refused_by_itself() {
    let error = refused("overlapping", &["192.168.122.118/31"]);
    assert!(error.contains("of the older IPAddressPool lb-ip-pool"), "{error}");
}

#[test]
fn what_is_wrong_with_one_object_by_itself_is_refused_by_kubectl_apply() {
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
fn p7_a_pool_that_is_deleted_takes_no_address_from_a_service() {
    let cluster = cluster();
    let space = Space::new(&cluster, "retained");
    space.pods("web", 1);
    cluster.apply(&pool("retained", &["192.168.122.140/32"])).unwrap();
    space.service("web", "web", &json!({"loadBalancerIP": "192.168.122.140"}));
    assert_eq!(space.address("web"), "192.168.122.140");
    let everything = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": {"name": "all", "namespace": NAMESPACE},
    });
    cluster.apply(&everything.to_string()).unwrap();
    owner(&cluster, "192.168.122.140");
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "ipaddresspool", "retained"])
        .unwrap();
    let told = cluster.event(&space.name, "web", "AddressRetained").unwrap();
    assert!(told.contains("the Service keeps 192.168.122.140"), "{told}");
    assert_eq!(space.address("web"), "192.168.122.140");
    owner(&cluster, "192.168.122.140");
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "l2advertisement", "all"])
        .unwrap();
}
