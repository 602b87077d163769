use std::collections::BTreeSet;

use lodestone_controller_core::{EventReason, OnPoolChange, ServiceView};
use lodestone_crds::{Labels, ResourceChange};
use serde_json::json;

use super::*;

fn pool(name: &str, spec: Value, status: Value) -> IPAddressPool {
    serde_json::from_value(json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": name, "generation": 3}, "spec": spec,
        "status": status,
    }))
    .unwrap()
}

fn service(name: &str, ip: &str) -> ServiceView {
    let object = json!({
        "metadata": {
            "name": name, "namespace": "n", "uid": name, "resourceVersion": "1",
            "annotations": {"metallb.io/ip-allocated-from-pool": "p"},
        },
        "spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]},
        "status": {"loadBalancer": {"ingress": [{"ip": ip}]}},
    });
    ServiceView::new(&serde_json::from_value(object).unwrap(), "")
}

fn reconciler(services: &[(&str, &str)], pools: Vec<IPAddressPool>, state: Option<Value>) -> Reconciler {
    let mut reconciler = Reconciler::new(OnPoolChange::Retain);
    reconciler.set_leader(true);
    for (name, ip) in services {
        reconciler.handle_service(ResourceChange::Applied(service(name, ip)));
    }
    for pool in pools {
        reconciler.handle_pool(ResourceChange::Applied(pool));
    }
    if let Some(status) = state {
        let object =
            json!({"apiVersion": "metallb.io/v1beta1", "kind": "ConfigurationState", "metadata": {}, "status": status});
        reconciler.handle_configuration_state(ResourceChange::Applied(serde_json::from_value(object).unwrap()));
    }
    reconciler.handle_service(ResourceChange::Synced);
    reconciler.handle_namespace(ResourceChange::Applied(("n".to_owned(), Labels::new())));
    reconciler.handle_namespace(ResourceChange::Synced);
    reconciler.handle_l2_advertisement(ResourceChange::Synced);
    reconciler.handle_pool(ResourceChange::Synced);
    reconciler.handle_configuration_state(ResourceChange::Synced);
    while reconciler.poll_job().is_some() {}
    reconciler
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn condition<'a>(status: &'a Value, type_: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().unwrap();
    conditions
        .iter()
        .find(|condition| condition["type"] == type_)
        .unwrap_or(&Value::Null)
}

#[test]
fn counters_conditions_and_the_state_are_written_only_once() {
    let spec = json!({"addresses": ["192.0.2.0/30", "2001:db8::/64"]});
    let first = outdated(
        &reconciler(&[("a", "192.0.2.1")], vec![pool("p", spec.clone(), Value::Null)], None),
        now(),
    );
    let names: BTreeSet<_> = first.iter().map(|write| write.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["controller", "p"]));
    let of = |name: &str| first.iter().find(|write| write.name == name).unwrap();
    let status = &of("p").status;
    assert_eq!(
        (
            &status["assignedIPv4"],
            &status["availableIPv4"],
            &status["assignedIPv6"],
            &status["availableIPv6"]
        ),
        (&json!(1), &json!(3), &json!(0), &json!(i64::MAX))
    );
    assert_eq!(
        (&condition(status, "Accepted")["status"], condition(status, "Retained")),
        (&json!("True"), &Value::Null)
    );
    let state = &of("controller").status;
    assert_eq!(
        (&state["result"], &condition(state, "poolReconcilerValid")["status"]),
        (&json!("Valid"), &json!("True"))
    );
    // Once all of it is written, every status is up to date.
    let mut written = state.clone();
    written.as_object_mut().unwrap().remove("errorSummary");
    let again = reconciler(
        &[("a", "192.0.2.1")],
        vec![pool("p", spec, status.clone())],
        Some(written),
    );
    assert_eq!(outdated(&again, now()), []);
}

#[test]
fn refused_pool_is_reported_once_and_summed_up_in_the_state() {
    let spec = json!({"addresses": ["192.0.2.9-192.0.2.1"]});
    let first = outdated(
        &reconciler(&[], vec![pool("p", spec.clone(), Value::Null)], None),
        now(),
    );
    let write = first.iter().find(|write| write.name == "p").unwrap();
    let accepted = condition(&write.status, "Accepted");
    assert_eq!(
        (&accepted["status"], &accepted["reason"]),
        (&json!("False"), &json!("Invalid"))
    );
    let event = write.event.clone().unwrap();
    assert_eq!(
        (event.object.name.as_deref(), event.notice.reason),
        (Some("p"), EventReason::Refused)
    );
    let state = &first.iter().find(|write| write.name == "controller").unwrap().status;
    assert_eq!(state["result"], "Invalid");
    assert!(
        state["errorSummary"]
            .as_str()
            .unwrap()
            .starts_with("IPAddressPool p: spec.addresses[0]"),
        "{state}"
    );
    // After a restart the condition is up to date, so nothing is written and no event is sent.
    let again = reconciler(&[], vec![pool("p", spec, write.status.clone())], Some(state.clone()));
    assert_eq!(outdated(&again, now()), []);
    // A repaired pool leaves the summary. A merge patch needs an explicit null for that.
    let repaired = pool("p", json!({"addresses": ["192.0.2.1-192.0.2.9"]}), write.status.clone());
    let after = outdated(&reconciler(&[], vec![repaired], Some(state.clone())), now());
    let state = &after.iter().find(|write| write.name == "controller").unwrap().status;
    assert!(
        state.as_object().unwrap().contains_key("errorSummary") && state["errorSummary"].is_null(),
        "{state}"
    );
    assert_eq!(state["result"], "Valid");
    assert_eq!(after.iter().find(|write| write.name == "p").unwrap().event, None);
}

#[test]
fn pool_status_shows_retained_addresses_until_they_are_released() {
    let spec = json!({"addresses": ["192.0.2.4/30"]});
    let first = outdated(
        &reconciler(
            &[("a", "192.0.2.1"), ("b", "192.0.2.5")],
            vec![pool("p", spec.clone(), Value::Null)],
            None,
        ),
        now(),
    );
    let status = first.iter().find(|write| write.name == "p").unwrap().status.clone();
    let retained = condition(&status, "Retained");
    assert_eq!(retained["status"], "True");
    let message = retained["message"].as_str().unwrap();
    assert!(message.ends_with("n/a (192.0.2.1)"), "{message}");
    let after = outdated(
        &reconciler(&[("b", "192.0.2.5")], vec![pool("p", spec, status)], None),
        now(),
    );
    let status = &after.iter().find(|write| write.name == "p").unwrap().status;
    assert_eq!(condition(status, "Retained")["status"], "False");
}
