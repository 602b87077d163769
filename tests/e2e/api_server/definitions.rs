//! The CustomResourceDefinitions on a real API server: it stores every field as given, and refuses
//! invalid values.

use lodestone_tests::Cluster;
use serde_json::{Value, json};

use super::cluster;

/// An object of each kind with all fields. The test writes `status` through the subresource.
fn samples() -> Vec<Value> {
    let selector = json!({
        "matchLabels": {"a": "b"},
        "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["d", "e"]}, {"key": "f", "operator": "DoesNotExist"},
        ],
    });
    let conditions = json!([{
        "type": "Accepted", "status": "False", "reason": "Invalid", "message": "not in use", "observedGeneration": 3,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    vec![
        json!({
            "kind": "IPAddressPool",
            "spec": {
                "addresses": ["192.0.2.0/24", "198.51.100.1 - 198.51.100.9", "2001:db8::/64", "::ffff:203.0.113.1-203.0.113.2"],
                "autoAssign": false, "avoidBuggyIPs": true,
                "serviceAllocation": {
                    "priority": 7, "namespaces": ["x", "y"], "namespaceSelectors": [selector], "serviceSelectors": [selector, {}],
                },
            },
            "status": {
                "assignedIPv4": 1, "assignedIPv6": 2, "availableIPv4": 3, "availableIPv6": 9_223_372_036_854_775_807_i64,
                "conditions": conditions,
            },
        }),
        json!({
            "kind": "L2Advertisement",
            "spec": {
                "ipAddressPools": ["a"], "ipAddressPoolSelectors": [selector], "nodeSelectors": [selector], "interfaces": ["eth0"],
                "serviceSelectors": [selector],
                "preferredNodeSelectors": [{"weight": 1, "preference": selector}, {"weight": 100, "preference": {}}],
            },
            "status": {"conditions": conditions},
        }),
        json!({
            "kind": "ServiceL2Status",
            "status": {"node": "w1", "serviceName": "a", "serviceNamespace": "b", "interfaces": [{"name": "eth0"}]},
        }),
        json!({
            "kind": "ConfigurationState",
            "status": {"result": "Invalid", "errorSummary": "a\nb", "conditions": conditions},
        }),
    ]
}

/// Completes an object with an API version and a name.
fn sample(name: &str, mut object: Value) -> Value {
    object["apiVersion"] = "metallb.io/v1beta1".into();
    object["metadata"] = json!({"name": name, "namespace": "default"});
    object
}

/// The fields of `given` that `found` lacks or changes. Additional fields do not count.
fn lost(path: &str, given: &Value, found: &Value) -> Vec<String> {
    match (given, found) {
        (Value::Object(given), Value::Object(found)) => {
            let fields = given
                .iter()
                .map(|(key, value)| lost(&format!("{path}.{key}"), value, &found[key]));
            fields.flatten().collect()
        }
        (given, found) if given == found => vec![],
        (given, found) => vec![format!("{path}: {given} became {found}")],
    }
}

#[test]
fn crds_keep_every_field_and_refuse_invalid_values() {
    let cluster = cluster();
    for given in samples() {
        let kind = given["kind"].as_str().unwrap().to_lowercase();
        let given = sample("full", given);
        cluster.apply(&given.to_string()).unwrap();
        let status = json!({"status": given["status"]}).to_string();
        let args = [
            "patch",
            &kind,
            "full",
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ];
        cluster.kubectl(&args).unwrap();
        let found = cluster.get(&[&kind, "full"]).unwrap();
        assert_eq!(lost(&kind, &given, &found), Vec::<String>::new());
    }
    defaults(&cluster);
    refusals(&cluster);
    for kind in [
        "ipaddresspools",
        "l2advertisements",
        "servicel2statuses",
        "configurationstates",
    ] {
        cluster.kubectl(&["delete", kind, "--all"]).unwrap();
    }
}

/// Fields that users of MetalLB leave out get the same defaults as there.
fn defaults(cluster: &Cluster) {
    let pool = json!({"kind": "IPAddressPool", "spec": {"addresses": ["192.0.2.0/24"]}});
    cluster.apply(&sample("small", pool).to_string()).unwrap();
    let spec = &cluster.get(&["ipaddresspool", "small"]).unwrap()["spec"];
    assert_eq!(
        *spec,
        json!({"addresses": ["192.0.2.0/24"], "autoAssign": true, "avoidBuggyIPs": false})
    );
    for (name, object) in [
        ("bare", json!({"kind": "L2Advertisement"})),
        ("empty", json!({"kind": "L2Advertisement", "spec": {}})),
    ] {
        cluster.apply(&sample(name, object).to_string()).unwrap();
    }
    // Objects that MetalLB has written have an empty `spec`.
    cluster
        .apply(&sample("metallb", json!({"kind": "ServiceL2Status", "spec": {}})).to_string())
        .unwrap();
}

/// Patches with invalid values are refused.
fn refusals(cluster: &Cluster) {
    let weight = |weight: i32| json!({"spec": {"preferredNodeSelectors": [{"weight": weight, "preference": {}}]}});
    for (kind, change, part) in [
        (
            "ipaddresspool",
            json!({"spec": {"addresses": []}}),
            "at least one CIDR or range",
        ),
        (
            "ipaddresspool",
            json!({"spec": {"addresses": ["nonsense"]}}),
            "spec.addresses[0]",
        ),
        (
            "ipaddresspool",
            json!({"spec": {"addresses": null}}),
            "spec.addresses: Required",
        ),
        (
            "ipaddresspool",
            json!({"spec": {"autoAssign": "yes"}}),
            "spec.autoAssign",
        ),
        ("l2advertisement", weight(0), "weight"),
        ("l2advertisement", weight(101), "weight"),
    ] {
        let patch = ["patch", kind, "full", "--type=merge", "-p", &change.to_string()];
        let error = cluster.kubectl(&patch).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }
    for change in [
        json!({"node": "w2"}),
        json!({"serviceName": "z"}),
        json!({"serviceNamespace": "z"}),
    ] {
        let change = json!({"status": change}).to_string();
        let patch = [
            "patch",
            "servicel2status",
            "full",
            "--subresource=status",
            "--type=merge",
            "-p",
            &change,
        ];
        let error = cluster.kubectl(&patch).expect_err(&change).to_string();
        assert!(error.contains("does not change"), "{error}");
    }
}
