//! What the controller says of the configuration and of itself: statuses, events on change only, metrics, probes.

use lodestone_tests::{Cluster, NAMESPACE, wait_for, wait_until};
use serde_json::{Value, json};

use super::{LIMIT, Space, asked, cluster, condition, metric, without_controller};

fn state(cluster: &Cluster) -> Value {
    cluster
        .get(&["-n", NAMESPACE, "configurationstate", "controller"])
        .unwrap_or_default()
}

/// Waits until the ConfigurationState has this result, and gives the sum of errors.
fn summary(cluster: &Cluster, result: &str) -> String {
    let found = wait_for(&format!("the state {result}"), LIMIT, || {
        let state = state(cluster);
        Ok((state["status"]["result"] == result).then_some(state))
    });
    found.unwrap()["status"]["errorSummary"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn p8_what_gets_past_the_webhook_is_refused_by_itself_and_told_on_the_object_and_in_the_state() {
    let cluster = cluster();
    let space = Space::new(&cluster, "past");
    space.pool("good", &["10.5.0.0/30"], &json!({}));
    assert_eq!(summary(&cluster, "Valid"), "");
    // Without a controller nobody reviews, and nothing is held up.
    without_controller(&cluster, || {
        space.pool("reversed", &["10.5.1.9-10.5.1.1"], &json!({}));
        space.pool("overlapping", &["10.5.0.2/32"], &json!({}));
    });
    let reversed = condition(&cluster, "reversed", "Accepted", "False");
    assert_eq!(
        (&reversed["reason"], &reversed["message"]),
        (
            &json!("Invalid"),
            &json!("not in use: spec.addresses[0]: \"10.5.1.9-10.5.1.1\" ends before it starts")
        )
    );
    assert_eq!(
        condition(&cluster, "overlapping", "Accepted", "False")["reason"],
        "Overlaps"
    );
    condition(&cluster, "good", "Accepted", "True");
    let told = cluster.event(NAMESPACE, "reversed", "Refused").unwrap();
    assert!(told.starts_with("Warning: spec.addresses[0]: "), "{told}");
    let errors = summary(&cluster, "Invalid");
    assert!(
        errors.contains("IPAddressPool overlapping: ") && errors.contains("IPAddressPool reversed: "),
        "{errors}"
    );
    metric(&cluster, "lodestone_config_refused_objects{kind=\"IPAddressPool\"} 2");
    metric(&cluster, "metallb_k8s_client_config_stale_bool 1");
    // Everything else goes on.
    space.service("a", &json!({}));
    space.gets("a", &["10.5.0.0"]);
    // After a restart nothing is told again.
    without_controller(&cluster, || {});
    space.settled();
    let field = "involvedObject.name=reversed,reason=Refused";
    let events = cluster
        .get(&["-n", NAMESPACE, "events", "--field-selector", field])
        .unwrap();
    assert_eq!(events["items"].as_array().unwrap().len(), 1, "{events}");
    // Whoever is mended comes in.
    space.pool("reversed", &["10.5.1.1-10.5.1.9"], &json!({}));
    condition(&cluster, "reversed", "Accepted", "True");
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "ipaddresspool", "overlapping"])
        .unwrap();
    assert_eq!(summary(&cluster, "Valid"), "");
}

#[test]
fn the_state_is_made_again_when_it_is_deleted_and_belongs_to_the_deployment() {
    let cluster = cluster();
    summary(&cluster, "Valid");
    let uid = state(&cluster)["metadata"]["uid"].clone();
    cluster
        .kubectl(&["-n", NAMESPACE, "delete", "configurationstate", "controller"])
        .unwrap();
    summary(&cluster, "Valid");
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
fn the_counters_of_a_pool_follow_and_are_mended() {
    let cluster = cluster();
    let space = Space::new(&cluster, "counted");
    space.pool("counted", &["10.5.2.0/30"], &json!({}));
    let counters = "jsonpath={.status.assignedIPv4}/{.status.availableIPv4}";
    let counted = |wanted: &str| {
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
    counted("0/4");
    for name in ["a", "b"] {
        space.service(name, &json!({}));
    }
    counted("2/2");
    metric(&cluster, "metallb_allocator_addresses_in_use_total{pool=\"counted\"} 2");
    metric(&cluster, "metallb_allocator_addresses_total{pool=\"counted\"} 4");
    metric(
        &cluster,
        "metallb_allocator_services_allocated_total{pool=\"counted\"} 2",
    );
    space.kubectl(&["delete", "service", "a"]);
    counted("1/3");
    let nonsense = r#"{"status":{"assignedIPv4":7}}"#;
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
            nonsense,
        ])
        .unwrap();
    counted("1/3");
}

#[test]
fn events_are_sent_when_something_changed_and_not_when_it_was_looked_at() {
    let cluster = cluster();
    let space = Space::new(&cluster, "events");
    space.pool("p", &["10.5.3.0/32"], &json!({}));
    space.service("a", &json!({}));
    space.gets("a", &["10.5.3.0"]);
    space.told("a", "IPAllocated", "10.5.3.0");
    space.service("b", &json!({}));
    space.told("b", "AllocationFailed", "no available IPs");
    // Looked at again and again: by changes of the Services, of pools and by a restart.
    for index in 0..3 {
        let label = json!({"metadata": {"labels": {"round": index.to_string()}}});
        space.patch("a", &label);
        space.patch("b", &label);
        space.settled();
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
fn probes_and_the_state_for_debugging_mean_something() {
    let cluster = cluster();
    let space = Space::new(&cluster, "probes");
    space.pool("p", &["10.5.4.0/32"], &json!({}));
    space.service("a", &json!({}));
    space.gets("a", &["10.5.4.0"]);
    space.service("b", &json!({}));
    space.told("b", "AllocationFailed", "no available IPs");
    assert_eq!(asked(&cluster, 17472, "healthz"), "ok");
    assert_eq!(asked(&cluster, 17472, "readyz"), "ok");
    let state: Value = serde_json::from_str(&asked(&cluster, 17472, "debug/state")).unwrap();
    assert_eq!(state["addresses"]["10.5.4.0"], json!(["probes/a"]));
    assert!(
        state["problems"]["probes/b"]
            .as_str()
            .unwrap()
            .contains("no available IPs"),
        "{state}"
    );
    metric(&cluster, "lodestone_leader_bool 1");
    metric(&cluster, "metallb_k8s_client_config_loaded_bool 1");
    let metrics = asked(&cluster, 9120, "metrics");
    assert!(
        metrics.contains("lodestone_allocation_duration_seconds_count"),
        "{metrics}"
    );
}
