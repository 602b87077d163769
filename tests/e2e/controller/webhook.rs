//! The webhook, called by the real API server.

use lodestone_tests::{Cluster, NAMESPACE, wait_for, wait_until};
use serde_json::{Value, json};

use super::{LIMIT, Space, cluster, scale, with_setting};

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
fn what_could_not_be_used_is_refused_by_kubectl_apply_with_the_field() {
    let cluster = cluster();
    let space = Space::new(&cluster, "hook");
    space.pool("first", &["10.6.0.0/24"], &json!({}));
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
    // The older pool can't be made to overlap the younger one either.
    space.pool("second", &["10.6.2.0/24"], &json!({}));
    let error = format!(
        "{:#}",
        space.try_pool("first", &["10.6.0.0/22"], &json!({})).unwrap_err()
    );
    assert!(error.contains("out of use: IPAddressPool second"), "{error}");
}

#[test]
fn edits_that_leave_addresses_behind_are_taken_with_a_warning_that_names_the_services() {
    let cluster = cluster();
    let space = Space::new(&cluster, "warned");
    space.pool("warned", &["10.6.4.0/31"], &json!({}));
    space.service("a", &json!({}));
    space.gets("a", &["10.6.4.0"]);
    let spec = |addresses: &[&str]| json!({"addresses": addresses, "serviceAllocation": {"namespaces": ["warned"]}});
    let answer = apply(&cluster, "IPAddressPool", NAMESPACE, "warned", &spec(&["10.6.4.1/32"]));
    assert!(
        answer.contains("Warning: Service warned/a has 10.6.4.0, which leaves the pool")
            && answer.contains("configured"),
        "{answer}"
    );
    apply(&cluster, "IPAddressPool", NAMESPACE, "warned", &spec(&["10.6.4.0/31"]));
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

fn secret(cluster: &Cluster) -> Value {
    cluster.get(&["-n", NAMESPACE, "secret", "lodestone-webhook"]).unwrap()["data"].clone()
}

fn trusted(cluster: &Cluster) -> Value {
    let configuration = cluster
        .get(&["validatingwebhookconfiguration", "lodestone-webhook"])
        .unwrap();
    configuration["webhooks"][0]["clientConfig"]["caBundle"].clone()
}

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
fn the_certificate_is_renewed_before_its_end_without_a_restart_and_all_replicas_agree() {
    let cluster = cluster();
    scale(&cluster, 2);
    let before = secret(&cluster);
    assert_eq!(trusted(&cluster), before["ca.crt"]);
    // It is about to end: 2027-01-02 is less than ninety days away, or past.
    let soon = json!({"stringData": {"expires": "2027-01-02T00:00:00Z"}}).to_string();
    cluster
        .kubectl(&["-n", NAMESPACE, "patch", "secret", "lodestone-webhook", "-p", &soon])
        .unwrap();
    let after = wait_for("a new certificate", LIMIT, || {
        Ok(Some(secret(&cluster)).filter(|data| data["tls.crt"] != before["tls.crt"]))
    })
    .unwrap();
    wait_until("the API server to trust it", LIMIT, || {
        trusted(&cluster) == after["ca.crt"]
    })
    .unwrap();
    // Whichever of the two is asked, it is trusted and answers; and there was only one new certificate.
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
    // What the API server is told to trust is mended.
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
        trusted(&cluster) == after["ca.crt"]
    })
    .unwrap();
    scale(&cluster, 1);
}

#[test]
fn the_webhook_can_be_switched_off_and_can_be_all_that_a_process_does() {
    let cluster = cluster();
    let space = Space::new(&cluster, "modes");
    space.pool("modes", &["10.6.5.0/31"], &json!({}));
    with_setting(&cluster, "controller.webhookMode=disabled", || {
        let none = cluster
            .kubectl(&["get", "validatingwebhookconfigurations", "-o", "name"])
            .unwrap();
        assert_eq!(none, "");
        space.service("a", &json!({}));
        space.gets("a", &["10.6.5.0"]);
    });
    with_setting(&cluster, "controller.webhookMode=onlywebhook", || {
        assert!(reviews(&cluster));
        space.service("b", &json!({}));
        assert_eq!(space.has("b"), [""; 0]);
    });
    // Whoever works did nothing for it meanwhile, and does now.
    space.gets("b", &["10.6.5.1"]);
}
