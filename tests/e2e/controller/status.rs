//! What the controller reports: conditions, its ConfigurationState, events, metrics and probes.

use lodestone_tests::{Cluster, NAMESPACE, wait_for, wait_until};
use serde_json::{Value, json};

use super::{
    LIMIT, TestNamespace, cluster, delete_pool, fetch, wait_for_condition, wait_for_metric, without_controller,
};

/// The ConfigurationState of the controller; `null` if there is none.
fn state(cluster: &Cluster) -> Value {
    cluster
        .get(&["-n", NAMESPACE, "configurationstate", "controller"])
        .unwrap_or_default()
}

/// Waits until the ConfigurationState has this result, and returns its error summary.
fn wait_for_result(cluster: &Cluster, result: &str) -> String {
    let found = wait_for(&format!("a ConfigurationState with the result {result}"), LIMIT, || {
        let state = state(cluster);
        Ok((state["status"]["result"] == result).then_some(state))
    });
    found.unwrap()["status"]["errorSummary"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn p8_bad_objects_that_bypass_the_webhook_are_refused_individually() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "past");
    ns.pool("good", &["10.5.0.0/30"], &json!({}));
    assert_eq!(wait_for_result(&cluster, "Valid"), "");
    // The webhook fails open: without a controller, every object is admitted.
    without_controller(&cluster, || {
        ns.pool("reversed", &["10.5.1.9-10.5.1.1"], &json!({}));
        ns.pool("overlapping", &["10.5.0.2/32"], &json!({}));
    });
    let reversed = wait_for_condition(&cluster, "reversed", "Accepted", "False");
    assert_eq!(
        (&reversed["reason"], &reversed["message"]),
        (
            &json!("Invalid"),
            &json!("not in use: spec.addresses[0]: \"10.5.1.9-10.5.1.1\" ends before it starts")
        )
    );
    assert_eq!(
        wait_for_condition(&cluster, "overlapping", "Accepted", "False")["reason"],
        "Overlaps"
    );
    wait_for_condition(&cluster, "good", "Accepted", "True");
    let event = cluster.wait_for_event(NAMESPACE, "reversed", "Refused").unwrap();
    assert!(event.starts_with("Warning: spec.addresses[0]: "), "{event}");
    let errors = wait_for_result(&cluster, "Invalid");
    assert!(
        errors.contains("IPAddressPool overlapping: ") && errors.contains("IPAddressPool reversed: "),
        "{errors}"
    );
    wait_for_metric(&cluster, "lodestone_config_refused_objects{kind=\"IPAddressPool\"} 2");
    wait_for_metric(&cluster, "metallb_k8s_client_config_stale_bool 1");
    // The valid objects stay in use.
    ns.service("a", &json!({}));
    ns.wait_for_addresses("a", &["10.5.0.0"]);
    // A restart does not repeat the event.
    without_controller(&cluster, || {});
    ns.wait_for_controller();
    let field = "involvedObject.name=reversed,reason=Refused";
    let events = cluster
        .get(&["-n", NAMESPACE, "events", "--field-selector", field])
        .unwrap();
    assert_eq!(events["items"].as_array().unwrap().len(), 1, "{events}");
    // A repaired pool comes into use.
    ns.pool("reversed", &["10.5.1.1-10.5.1.9"], &json!({}));
    wait_for_condition(&cluster, "reversed", "Accepted", "True");
    delete_pool(&cluster, "overlapping");
    assert_eq!(wait_for_result(&cluster, "Valid"), "");
}

#[test]
fn configuration_state_is_recreated_and_owned_by_the_deployment() {
    let cluster = cluster();
    wait_for_result(&cluster, "Valid");
    let uid = state(&cluster)["metadata"]["uid"].clone();
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "configurationstate", "controller"])
        .unwrap();
    wait_for_result(&cluster, "Valid");
    let state = state(&cluster);
    assert_ne!(state["metadata"]["uid"], uid);
    assert_eq!(state["metadata"]["ownerReferences"][0]["kind"], "Deployment");
    assert_eq!(state["metadata"]["labels"]["metallb.io/component-type"], "controller");
    let condition = &state["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["reason"]),
        (&json!("poolReconcilerValid"), &json!("Reconciled"))
    );
}

#[test]
fn counters_of_a_pool_follow_and_are_repaired() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "counted");
    ns.pool("counted", &["10.5.2.0/30"], &json!({}));
    let counters = "jsonpath={.status.assignedIPv4}/{.status.availableIPv4}";
    let wait_for_counters = |wanted: &str| {
        let get = || {
            cluster
                .kubectl(&["-n", NAMESPACE, "get", "ipaddresspool", "counted", "-o", counters])
                .unwrap()
        };
        assert!(
            wait_until(&format!("counters {wanted}"), LIMIT, || get() == wanted).is_ok(),
            "{}",
            get()
        );
    };
    wait_for_counters("0/4");
    for name in ["a", "b"] {
        ns.service(name, &json!({}));
    }
    wait_for_counters("2/2");
    wait_for_metric(&cluster, "metallb_allocator_addresses_in_use_total{pool=\"counted\"} 2");
    wait_for_metric(&cluster, "metallb_allocator_addresses_total{pool=\"counted\"} 4");
    wait_for_metric(
        &cluster,
        "metallb_allocator_services_allocated_total{pool=\"counted\"} 2",
    );
    ns.kubectl(&["delete", "service", "a"]);
    wait_for_counters("1/3");
    // A wrong value that somebody else writes is repaired.
    let wrong = r#"{"status":{"assignedIPv4":7}}"#;
    cluster
        .kubectl(&[
            "-n",
            NAMESPACE,
            "patch",
            "ipaddresspool",
            "counted",
            "--subresource=status",
            "--type=merge",
            "-p",
            wrong,
        ])
        .unwrap();
    wait_for_counters("1/3");
}

#[test]
fn events_are_sent_only_when_the_outcome_changes() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "events");
    ns.pool("p", &["10.5.3.0/32"], &json!({}));
    ns.service("a", &json!({}));
    ns.wait_for_addresses("a", &["10.5.3.0"]);
    ns.wait_for_event("a", "IPAllocated", "10.5.3.0");
    ns.service("b", &json!({}));
    ns.wait_for_event("b", "AllocationFailed", "no available IPs");
    // The controller processes both Services several times, with the same outcome.
    for index in 0..3 {
        let label = json!({"metadata": {"labels": {"round": index.to_string()}}});
        ns.patch("a", &label);
        ns.patch("b", &label);
        ns.wait_for_controller();
    }
    let count = |name: &str, reason: &str| {
        let field = format!("involvedObject.name={name},reason={reason}");
        let events = cluster
            .get(&["-n", "events", "events", "--field-selector", &field])
            .unwrap();
        events["items"].as_array().unwrap().len()
    };
    assert_eq!((count("a", "IPAllocated"), count("b", "AllocationFailed")), (1, 1));
}

#[test]
fn probes_debug_state_and_metrics_show_the_actual_state() {
    let cluster = cluster();
    let ns = TestNamespace::create(&cluster, "probes");
    ns.pool("p", &["10.5.4.0/32"], &json!({}));
    ns.service("a", &json!({}));
    ns.wait_for_addresses("a", &["10.5.4.0"]);
    ns.service("b", &json!({}));
    ns.wait_for_event("b", "AllocationFailed", "no available IPs");
    assert_eq!(fetch(&cluster, 17472, "healthz"), "ok");
    assert_eq!(fetch(&cluster, 17472, "readyz"), "ok");
    let state: Value = serde_json::from_str(&fetch(&cluster, 17472, "debug/state")).unwrap();
    assert_eq!(state["addresses"]["10.5.4.0"], json!(["probes/a"]));
    assert!(
        state["problems"]["probes/b"]
            .as_str()
            .unwrap()
            .contains("no available IPs"),
        "{state}"
    );
    wait_for_metric(&cluster, "lodestone_leader_bool 1");
    wait_for_metric(&cluster, "metallb_k8s_client_config_loaded_bool 1");
    let metrics = fetch(&cluster, 9120, "metrics");
    assert!(
        metrics.contains("lodestone_allocation_duration_seconds_count"),
        "{metrics}"
    );
}
