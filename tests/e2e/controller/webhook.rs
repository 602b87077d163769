//! The validating webhook, called by the real API server.

use lodestone_tests::{Cluster, NAMESPACE, wait_for, wait_until};
use serde_json::{Value, json};

use super::{LIMIT, TestNamespace, cluster, scale_controller, with_setting};

/// Applies an object; returns the output of kubectl, whether it succeeds or not.
fn apply(cluster: &Cluster, kind: &str, namespace: &str, name: &str, spec: &Value) -> String {
    let object = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    });
    match cluster
        .user_tool("kubectl")
        .args(["apply", "-f", "-"])
        .input(object.to_string())
        .output()
    {
        Ok(output) => format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("{error:#}"),
    }
}

#[test]
fn unusable_objects_are_refused_with_the_path_of_the_field() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "hook");
    ns.pool("first", &["10.6.0.0/24"], &json!({}));
    let doubled = json!({"addresses": ["10.6.1.0/24"], "serviceAllocation": {"namespaces": ["a", "a"]}});
    for (kind, namespace, spec, part) in [
        (
            "IPAddressPool",
            NAMESPACE,
            json!({"addresses": ["10.6.9.0/24", "10.6.0.128/25"]}),
            "IPAddressPool x: spec.addresses[1]: 10.6.0.128/25 overlaps with 10.6.0.0/24 of the older IPAddressPool first",
        ),
        (
            "IPAddressPool",
            NAMESPACE,
            json!({"addresses": ["10.6.9.9-10.6.9.1"]}),
            "spec.addresses[0]",
        ),
        (
            "IPAddressPool",
            NAMESPACE,
            doubled,
            "spec.serviceAllocation.namespaces[1]: the same as [0]",
        ),
        (
            "IPAddressPool",
            "hook",
            json!({"addresses": ["10.6.9.0/24"]}),
            "resource must be created in metallb-system namespace",
        ),
        (
            "L2Advertisement",
            NAMESPACE,
            json!({"ipAddressPools": ["first", "first"]}),
            "L2Advertisement x: spec.ipAddressPools[1]",
        ),
        (
            "L2Advertisement",
            "hook",
            json!({}),
            "resource must be created in metallb-system namespace",
        ),
    ] {
        let answer = apply(&cluster, kind, namespace, "x", &spec);
        assert!(
            answer.contains("denied the request") && answer.contains(part),
            "{answer}"
        );
    }
    // An edit may not make the older pool overlap the newer one either.
    ns.pool("second", &["10.6.2.0/24"], &json!({}));
    let error = format!("{:#}", ns.try_pool("first", &["10.6.0.0/22"], &json!({})).unwrap_err());
    assert!(
        error.contains("invalidate another object: IPAddressPool second"),
        "{error}"
    );
}

#[test]
fn edits_that_orphan_addresses_are_admitted_with_a_warning() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "warned");
    ns.pool("warned", &["10.6.4.0/31"], &json!({}));
    ns.service("a", &json!({}));
    ns.wait_for_addresses("a", &["10.6.4.0"]);
    let pool = |addresses: &[&str]| json!({"addresses": addresses, "serviceAllocation": {"namespaces": ["warned"]}});
    let answer = apply(&cluster, "IPAddressPool", NAMESPACE, "warned", &pool(&["10.6.4.1/32"]));
    assert!(
        answer.contains("Warning: Service warned/a has 10.6.4.0, which leaves the pool")
            && answer.contains("configured"),
        "{answer}"
    );
    apply(&cluster, "IPAddressPool", NAMESPACE, "warned", &pool(&["10.6.4.0/31"]));
    let answer = cluster
        .user_tool("kubectl")
        .args(["-n", NAMESPACE, "delete", "ipaddresspool", "warned"])
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(
        answer.contains("Warning: Service warned/a has 10.6.4.0, whose pool is deleted"),
        "{answer}"
    );
    let answer = apply(
        &cluster,
        "L2Advertisement",
        NAMESPACE,
        "warned",
        &json!({"ipAddressPools": ["nowhere"]}),
    );
    assert!(
        answer.contains("Warning: there is no IPAddressPool nowhere"),
        "{answer}"
    );
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "l2advertisement", "warned"])
        .unwrap();
}

/// The data of the Secret with the certificate of the webhook.
fn secret(cluster: &Cluster) -> Value {
    cluster.get(&["-n", NAMESPACE, "secret", "lodestone-webhook"]).unwrap()["data"].clone()
}

/// The certificate authority that the API server trusts for the webhook.
fn trusted_ca(cluster: &Cluster) -> Value {
    let configuration = cluster
        .get(&["validatingwebhookconfiguration", "lodestone-webhook"])
        .unwrap();
    configuration["webhooks"][0]["clientConfig"]["caBundle"].clone()
}

/// Whether the webhook reviews requests.
fn reviews(cluster: &Cluster) -> bool {
    apply(
        cluster,
        "IPAddressPool",
        "default",
        "x",
        &json!({"addresses": ["10.6.9.0/24"]}),
    )
    .contains("denied the request")
}

#[test]
fn all_replicas_switch_to_a_renewed_certificate_without_a_restart() {
    let cluster = cluster();
    scale_controller(&cluster, 2);
    let before = secret(&cluster);
    assert_eq!(trusted_ca(&cluster), before["ca.crt"]);
    // Pretend that the certificate is about to expire: this date is less than 90 days away, or
    // past.
    let soon = json!({"stringData": {"expires": "2027-01-02T00:00:00Z"}}).to_string();
    cluster
        .kubectl(&["-n", NAMESPACE, "patch", "secret", "lodestone-webhook", "-p", &soon])
        .unwrap();
    let after = wait_for("a new certificate", LIMIT, || {
        Ok(Some(secret(&cluster)).filter(|data| data["tls.crt"] != before["tls.crt"]))
    })
    .unwrap();
    wait_until("the API server to trust it", LIMIT, || {
        trusted_ca(&cluster) == after["ca.crt"]
    })
    .unwrap();
    // Both replicas answer with the trusted certificate, and only one new certificate was made.
    for _ in 0..20 {
        assert!(reviews(&cluster));
    }
    assert_eq!(secret(&cluster), after);
    let path = "jsonpath={.items[*].status.containerStatuses[0].restartCount}";
    let restarts = [
        "-n",
        NAMESPACE,
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/component=controller",
        "-o",
        path,
    ];
    assert_eq!(cluster.kubectl(&restarts).unwrap(), "0 0");
    // A wrong certificate authority in the configuration is repaired.
    let other =
        json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": before["ca.crt"]}]).to_string();
    cluster
        .kubectl(&[
            "patch",
            "validatingwebhookconfiguration",
            "lodestone-webhook",
            "--type=json",
            "-p",
            &other,
        ])
        .unwrap();
    wait_until("the API server to trust it again", LIMIT, || {
        trusted_ca(&cluster) == after["ca.crt"]
    })
    .unwrap();
    scale_controller(&cluster, 1);
}

#[test]
fn webhook_can_be_disabled_and_can_run_alone() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "modes");
    ns.pool("modes", &["10.6.5.0/31"], &json!({}));
    with_setting(&cluster, "controller.webhookMode=disabled", || {
        let none = cluster
            .kubectl(&["get", "validatingwebhookconfigurations", "-o", "name"])
            .unwrap();
        assert_eq!(none, "");
        ns.service("a", &json!({}));
        ns.wait_for_addresses("a", &["10.6.5.0"]);
    });
    with_setting(&cluster, "controller.webhookMode=onlywebhook", || {
        assert!(reviews(&cluster));
        ns.service("b", &json!({}));
        assert_eq!(ns.addresses_of("b"), [""; 0]);
    });
    // In this mode the controller allocated nothing; in the default mode it does.
    ns.wait_for_addresses("b", &["10.6.5.1"]);
}
