use std::time::Duration;

use lodestone_controller_core::OnPoolChange;
use lodestone_crds::{IPAddressPool, Labels, ResourceChange};
use serde_json::json;

use super::*;

fn pool(name: &str, addresses: &[&str]) -> IPAddressPool {
    serde_json::from_value(json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": name}, "spec": {"addresses": addresses},
    }))
    .unwrap()
}

fn service(name: &str, ip: Option<&str>, pool: &str) -> ServiceView {
    let mut object = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": "1"},
        "spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]},
    });
    if ip.is_some_and(|ip| ip.contains(':')) {
        object["spec"]["clusterIPs"] = json!(["fd00::1"]);
    }
    if let Some(ip) = ip {
        object["metadata"]["annotations"] = json!({"metallb.io/ip-allocated-from-pool": pool});
        object["status"] = json!({"loadBalancer": {"ingress": [{"ip": ip}]}});
    }
    ServiceView::new(&serde_json::from_value(object).unwrap(), "")
}

fn reconciler(services: Vec<ServiceView>, pools: Vec<IPAddressPool>, leads: bool) -> Reconciler {
    let mut reconciler = Reconciler::new(OnPoolChange::Retain);
    reconciler.set_leader(leads);
    for service in services {
        reconciler.handle_service(ResourceChange::Applied(service));
    }
    for pool in pools {
        reconciler.handle_pool(ResourceChange::Applied(pool));
    }
    reconciler.handle_service(ResourceChange::Synced);
    reconciler.handle_namespace(ResourceChange::Applied(("n".to_owned(), Labels::new())));
    reconciler.handle_namespace(ResourceChange::Synced);
    reconciler.handle_l2_advertisement(ResourceChange::Synced);
    reconciler.handle_pool(ResourceChange::Synced);
    while reconciler.poll_job().is_some() {}
    reconciler
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "no line {line:?} in\n{text}");
}

#[test]
fn addresses_are_counted_under_metallbs_metric_names() {
    let services = vec![
        service("a", Some("192.0.2.1"), "p"),
        service("b", Some("2001:db8::1"), "p"),
        service("c", Some("198.51.100.1"), "gone"),
    ];
    let reconciler = reconciler(
        services,
        vec![
            pool("p", &["192.0.2.0/28", "2001:db8::/32"]),
            pool("q", &["192.0.3.9-192.0.3.1"]),
        ],
        true,
    );
    let mut metrics = Metrics::default();
    metrics.count_update();
    metrics.count_write_failure();
    let start = lodestone_runtime::clock::now();
    metrics.observe_service(&service("new", None, ""), start);
    metrics.observe_write(
        &service("new", Some("192.0.2.2"), "p"),
        start + Duration::from_millis(30),
    );
    let text = metrics.encode(&reconciler);
    for line in [
        r#"metallb_allocator_ipv4_addresses_total{pool="p"} 16"#,
        r#"metallb_allocator_ipv6_addresses_total{pool="p"} 9223372036854775807"#,
        r#"metallb_allocator_addresses_total{pool="p"} 9223372036854775807"#,
        r#"metallb_allocator_addresses_in_use_total{pool="p"} 2"#,
        r#"metallb_allocator_ipv4_addresses_in_use_total{pool="p"} 1"#,
        r#"metallb_allocator_ipv6_addresses_in_use_total{pool="p"} 1"#,
        r#"metallb_allocator_services_allocated_total{pool="p"} 2"#,
        r#"lodestone_allocator_retained_services{pool="gone"} 1"#,
        r#"lodestone_config_refused_objects{kind="IPAddressPool"} 1"#,
        "metallb_k8s_client_updates_total 1",
        "metallb_k8s_client_update_errors_total 1",
        "metallb_k8s_client_config_loaded_bool 1",
        "metallb_k8s_client_config_stale_bool 1",
        "lodestone_allocator_services_with_problem 1",
        "lodestone_queue_length 0",
        "lodestone_leader_bool 1",
        r#"lodestone_allocation_duration_seconds_bucket{le="0.025"} 0"#,
        r#"lodestone_allocation_duration_seconds_bucket{le="0.05"} 1"#,
        "# EOF",
    ] {
        has(&text, line);
    }
    assert!(
        !text.contains(r#"pool="q""#),
        "a refused pool has no addresses:\n{text}"
    );
}

#[test]
fn deleted_pool_has_no_series_and_a_standby_has_none_of_any_pool() {
    let metrics = Metrics::default();
    let mut leading = reconciler(vec![], vec![pool("p", &["192.0.2.0/28"])], true);
    assert!(metrics.encode(&leading).contains(r#"pool="p""#));
    leading.handle_pool(ResourceChange::Gone(ObjectKey::new("", "p")));
    assert!(!metrics.encode(&leading).contains(r#"pool="p""#));
    let standby = reconciler(
        vec![service("a", Some("192.0.2.1"), "p")],
        vec![pool("p", &["192.0.2.0/28"])],
        false,
    );
    let text = metrics.encode(&standby);
    assert!(!text.contains(r#"pool="p""#), "{text}");
    has(&text, "lodestone_leader_bool 0");
}
