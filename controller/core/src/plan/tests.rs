mod families;
mod leaving;
mod requests;
mod retention;
mod sharing;
mod status;

use std::net::IpAddr;

use lodestone_crds::{Config, IPAddressPool, Labels, ObjectKey, Resources};
use serde_json::{Value, json};

use super::*;
use crate::{notice::EventReason, service_view::ServiceView};

/// Pools by name, with their specifications.
fn config(pools: &[(&str, Value)]) -> Config {
    let pools = pools.iter().map(|(name, spec)| {
        let raw = json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": name}, "spec": spec});
        serde_json::from_value::<IPAddressPool>(raw).unwrap()
    });
    let config = Config::build(&Resources {
        pools: pools.collect(),
        ..Resources::default()
    });
    assert_eq!(config.refused, []);
    config
}

fn v4() -> Config {
    config(&[("p", json!({"addresses": ["192.0.2.0/30"]}))])
}

fn dual() -> Config {
    config(&[("p", json!({"addresses": ["192.0.2.0/30", "2001:db8::/126"]}))])
}

/// A Service of type LoadBalancer; `more` is merged over it.
fn service(name: &str, more: Value) -> ServiceView {
    let mut object = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name},
        "spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]},
    });
    merge(&mut object, more);
    ServiceView::new(&serde_json::from_value(object).unwrap(), "")
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter()
                .for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}

/// A status with these addresses, from pool `p`.
fn has(addresses: &[&str]) -> Value {
    has_with_record("metallb.io/ip-allocated-from-pool", addresses)
}

/// A status with these addresses, from pool `p`, as MetalLB before 0.14.9 wrote it.
fn has_from_old_metallb(addresses: &[&str]) -> Value {
    has_with_record("metallb.universe.tf/ip-allocated-from-pool", addresses)
}

fn has_with_record(annotation: &str, addresses: &[&str]) -> Value {
    let ingress: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP"})).collect();
    json!({
        "metadata": {"annotations": {annotation: "p"}},
        "status": {"loadBalancer": {"ingress": ingress}},
    })
}

fn with(mut a: Value, b: Value) -> Value {
    merge(&mut a, b);
    a
}

fn both_families() -> Value {
    json!({"spec": {"clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilyPolicy": "PreferDualStack"}})
}

fn annotated(name: &str, value: &str) -> Value {
    json!({"metadata": {"annotations": {format!("metallb.io/{name}"): value}}})
}

/// Plans for `service` and applies the allocations; returns the rest of the plan.
fn run_with(config: &Config, allocator: &mut Allocator, service: &ServiceView, on_pool_change: OnPoolChange) -> Plan {
    let input = PlanInput {
        service,
        namespace_labels: &Labels::new(),
        config,
        on_pool_change,
    };
    let mut plan = plan(input, allocator);
    if let Some(assignment) = plan.allocate.take() {
        allocator.apply(&service.key, &assignment);
    }
    plan
}

/// Adopts the addresses of `service`; returns whether there were any.
fn adopt(service: &ServiceView, config: &Config, allocator: &mut Allocator) -> bool {
    let assignment = super::adopt(service, config, allocator);
    if let Some(assignment) = &assignment {
        allocator.apply(&service.key, assignment);
    }
    assignment.is_some() && service.is_ours
}

fn run(config: &Config, allocator: &mut Allocator, service: &ServiceView) -> Plan {
    run_with(config, allocator, service, OnPoolChange::Retain)
}

/// The addresses that the plan writes.
fn written(plan: &Plan) -> Vec<String> {
    let write = plan.write.as_ref().expect("a status to be written");
    write.ingress.iter().filter_map(|entry| entry.ip.clone()).collect()
}

/// The addresses that the Service `a` is releasing.
fn releasing(allocator: &Allocator) -> Vec<IpAddr> {
    allocator.releasing(&ObjectKey::new("n", "a")).to_vec()
}

fn ports_error(plan: &Plan) -> &str {
    plan.write
        .as_ref()
        .and_then(|write| write.ports_error.as_deref())
        .unwrap_or_default()
}

fn problem(plan: &Plan) -> &str {
    plan.problem.as_ref().map_or("", |note| note.text.as_str())
}

/// A creation time in this second of 2026.
fn made(second: u8) -> Value {
    json!({"metadata": {"creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")}})
}
