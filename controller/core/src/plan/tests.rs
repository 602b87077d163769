use lodestone_crds::{IPAddressPool, ObjectKey, Resources};
use serde_json::{Value, json};

use super::*;
use crate::notice::EventReason;

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
    let ingress: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP"})).collect();
    json!({
        "metadata": {"annotations": {"metallb.io/ip-allocated-from-pool": "p"}},
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
    let input = Input {
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

#[test]
fn a_new_service_gets_the_lowest_address_and_is_told_so_once() {
    let mut allocator = Allocator::default();
    let first = run(&v4(), &mut allocator, &service("a", json!({})));
    assert_eq!(written(&first), ["192.0.2.0"]);
    assert_eq!(first.write.as_ref().unwrap().pool.as_deref(), Some("p"));
    assert_eq!(
        (first.events[0].reason, first.events[0].text.as_str()),
        (EventReason::IpAllocated, "Assigned IP [\"192.0.2.0\"]")
    );
    let second = run(&v4(), &mut allocator, &service("a", has(&["192.0.2.0"])));
    assert_eq!(second, Plan::default());
}

#[test]
fn requests_that_are_met() {
    let closed = config(&[(
        "p",
        json!({"addresses": ["192.0.2.0/30", "2001:db8::/126"], "autoAssign": false}),
    )]);
    for (more, wanted) in [
        (json!({"spec": {"loadBalancerIP": "192.0.2.1"}}), vec!["192.0.2.1"]),
        (annotated("loadBalancerIPs", "192.0.2.1"), vec!["192.0.2.1"]),
        (annotated("address-pool", "p"), vec!["192.0.2.0"]),
        (
            with(both_families(), annotated("loadBalancerIPs", "2001:db8::2,192.0.2.2")),
            vec!["2001:db8::2", "192.0.2.2"],
        ),
        (
            with(both_families(), json!({"spec": {"loadBalancerIP": "192.0.2.1"}})),
            vec!["192.0.2.1"],
        ),
    ] {
        let plan = run(&closed, &mut Allocator::default(), &service("a", more));
        assert_eq!(written(&plan), wanted);
    }
}

#[test]
fn requests_that_are_refused_say_why() {
    let pools = config(&[
        ("p", json!({"addresses": ["192.0.2.0/30", "2001:db8::/126"]})),
        ("q", json!({"addresses": ["198.51.100.0/30", "2001:db8:1::/126"]})),
        (
            "private",
            json!({"addresses": ["203.0.113.0/30"], "serviceAllocation": {"namespaces": ["other"]}}),
        ),
    ]);
    let require = json!({"spec": {"clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilyPolicy": "RequireDualStack"}});
    for (more, part) in [
        (
            json!({"spec": {"loadBalancerIP": "10.9.9.9"}}),
            "10.9.9.9 is in no IPAddressPool",
        ),
        (
            json!({"spec": {"loadBalancerIP": "nonsense"}}),
            "\"nonsense\" is not an IP address",
        ),
        (
            json!({"spec": {"loadBalancerIP": "2001:db8::1"}}),
            "asks for IPv6 and its cluster addresses are IPv4",
        ),
        (
            json!({"spec": {"loadBalancerIP": "203.0.113.1"}}),
            "private does not serve this Service",
        ),
        (
            annotated("address-pool", "private"),
            "private does not serve this Service",
        ),
        (
            annotated("address-pool", "unknown"),
            "there is no IPAddressPool unknown",
        ),
        (
            with(
                annotated("address-pool", "q"),
                json!({"spec": {"loadBalancerIP": "192.0.2.1"}}),
            ),
            "asks for pool q",
        ),
        (
            with(both_families(), annotated("loadBalancerIPs", "192.0.2.1,2001:db8:1::1")),
            "in different IPAddressPools",
        ),
        (
            with(require, json!({"spec": {"loadBalancerIP": "192.0.2.1"}})),
            "asks for IPv4",
        ),
        (
            json!({"spec": {"ipFamilyPolicy": "RequireDualStack"}}),
            "requires two address families",
        ),
    ] {
        let plan = run(&pools, &mut Allocator::default(), &service("a", more));
        assert_eq!(
            (plan.write.clone(), plan.problem.as_ref().unwrap().reason.is_warning()),
            (None, true)
        );
        assert!(problem(&plan).contains(part), "{}", problem(&plan));
        assert!(
            problem(&plan).starts_with("Failed to allocate IP for \"n/a\": "),
            "{}",
            problem(&plan)
        );
        assert_eq!(plan.problem.unwrap().reason, EventReason::AllocationFailed);
    }
}

#[test]
fn p7_a_request_that_cannot_be_met_keeps_the_old_address() {
    let pools = config(&[
        ("p", json!({"addresses": ["192.0.2.0/30"]})),
        ("full", json!({"addresses": ["198.51.100.1/32"]})),
    ]);
    for (more, part) in [
        (
            json!({"spec": {"loadBalancerIP": "10.9.9.9"}}),
            "is in no IPAddressPool",
        ),
        (json!({"spec": {"loadBalancerIP": "nonsense"}}), "is not an IP address"),
        (
            json!({"spec": {"loadBalancerIP": "198.51.100.1"}}),
            "in use by Service n/other",
        ),
        (
            annotated("address-pool", "unknown"),
            "there is no IPAddressPool unknown",
        ),
        (annotated("address-pool", "full"), "no IPv4 address is free in full"),
    ] {
        let mut allocator = Allocator::default();
        run(
            &pools,
            &mut allocator,
            &service("other", annotated("address-pool", "full")),
        );
        adopt(&service("a", has(&["192.0.2.0"])), &dual(), &mut allocator);
        let plan = run(&pools, &mut allocator, &service("a", with(has(&["192.0.2.0"]), more)));
        assert_eq!((plan.write.clone(), releasing(&allocator).len()), (None, 0));
        assert!(problem(&plan).contains(part), "{}", problem(&plan));
        assert!(
            problem(&plan).ends_with("the Service keeps 192.0.2.0"),
            "{}",
            problem(&plan)
        );
        assert_eq!(
            allocator.held(&ObjectKey::new("n", "a")),
            ["192.0.2.0".parse::<IpAddr>().unwrap()]
        );
    }
}

#[test]
fn p7_an_address_whose_pool_went_away_is_retained_or_replaced_by_flag() {
    let closed = json!({"addresses": ["192.0.2.0/30"], "serviceAllocation": {"namespaces": ["other"]}});
    let spare = || ("a-spare", json!({"addresses": ["198.51.100.0/30"]}));
    for pools in [
        config(&[spare()]),
        config(&[spare(), ("p", json!({"addresses": ["192.0.2.2/31"]}))]),
        config(&[spare(), ("p", closed)]),
        config(&[
            spare(),
            ("p", json!({"addresses": ["192.0.2.0/30"], "avoidBuggyIPs": true})),
        ]),
    ] {
        let holder = service("a", has(&["192.0.2.0"]));
        let mut allocator = Allocator::default();
        assert!(adopt(&holder, &pools, &mut allocator));
        let plan = run(&pools, &mut allocator, &holder);
        assert_eq!(
            (plan.write.clone(), plan.problem.as_ref().map(|note| note.reason)),
            (None, Some(EventReason::AddressRetained))
        );
        // Nobody else gets it.
        let other = run(
            &pools,
            &mut allocator,
            &service("b", json!({"spec": {"loadBalancerIP": "192.0.2.0"}})),
        );
        assert_eq!(other.write, None);
        let moved = run_with(&pools, &mut allocator, &holder, OnPoolChange::Reassign);
        assert_eq!(written(&moved), ["198.51.100.0"]);
        assert_eq!(
            moved.events.iter().map(|note| note.reason).collect::<Vec<_>>(),
            [EventReason::ClearAssignment, EventReason::IpAllocated]
        );
        assert_eq!(releasing(&allocator), ["192.0.2.0".parse::<IpAddr>().unwrap()]);
    }
}

#[test]
fn p7_even_with_reassign_the_old_address_stays_until_there_is_another() {
    let holder = service("a", has(&["192.0.2.0"]));
    let mut allocator = Allocator::default();
    adopt(&holder, &dual(), &mut allocator);
    let plan = run_with(&config(&[]), &mut allocator, &holder, OnPoolChange::Reassign);
    assert_eq!((plan.write.clone(), releasing(&allocator).len()), (None, 0));
    assert!(
        problem(&plan).contains("the Service keeps 192.0.2.0"),
        "{}",
        problem(&plan)
    );
}

#[test]
fn a_status_that_nobody_here_has_written_is_replaced() {
    let foreign = json!({"status": {"loadBalancer": {"ingress": [{"hostname": "elb"}, {"ip": "10.1.1.1"}]}}});
    let mut allocator = Allocator::default();
    let foreign = service("a", foreign);
    adopt(&foreign, &dual(), &mut allocator);
    assert_eq!(written(&run(&v4(), &mut allocator, &foreign)), ["192.0.2.0"]);
}

#[test]
fn what_others_put_into_a_status_beside_ours_goes_and_ours_stays() {
    let strange = service("a", has(&["10.9.9.9", "192.0.2.1", "192.0.2.2"]));
    let mut allocator = Allocator::default();
    assert!(adopt(&strange, &v4(), &mut allocator));
    assert_eq!(written(&run(&v4(), &mut allocator, &strange)), ["192.0.2.1"]);
    // None of ours is left: it is reset.
    let foreign = service("b", has(&["10.9.9.7", "10.9.9.8", "10.9.9.9"]));
    assert!(!adopt(&foreign, &v4(), &mut allocator));
    assert_eq!(written(&run(&v4(), &mut allocator, &foreign)), ["192.0.2.0"]);
}

#[test]
fn what_others_put_beside_an_address_stays() {
    let mut allocator = Allocator::default();
    let proxy = with(
        has(&["192.0.2.1"]),
        json!({"status": {"loadBalancer": {"ingress": [
            {"ip": "192.0.2.1", "ipMode": "Proxy", "ports": [{"port": 80, "protocol": "TCP"}]},
        ]}}}),
    );
    let holder = service("a", with(proxy, both_families()));
    adopt(&holder, &dual(), &mut allocator);
    let plan = run(&dual(), &mut allocator, &holder);
    let ingress = &plan.write.as_ref().unwrap().ingress;
    assert_eq!(ingress[0].ip_mode.as_deref(), Some("Proxy"));
    assert_eq!(ingress[0].ports.as_ref().map(Vec::len), Some(1));
    assert_eq!(written(&plan), ["192.0.2.1", "2001:db8::"]);
}

#[test]
fn a_service_that_is_no_longer_ours_is_released() {
    for spec in [
        json!({"type": "ClusterIP"}),
        json!({"type": "LoadBalancer", "loadBalancerClass": "other"}),
    ] {
        let mut allocator = Allocator::default();
        adopt(&service("a", has(&["192.0.2.0"])), &dual(), &mut allocator);
        let plan = run(
            &v4(),
            &mut allocator,
            &service("a", with(has(&["192.0.2.0"]), json!({"spec": spec}))),
        );
        assert_eq!(
            (
                written(&plan).len(),
                plan.write.as_ref().unwrap().pool.clone(),
                releasing(&allocator).len()
            ),
            (0, None, 1)
        );
        assert!(allocator.held(&ObjectKey::new("n", "a")).is_empty());
    }
}

#[test]
fn a_service_that_never_was_ours_is_left_alone() {
    let foreign = json!({
        "spec": {"loadBalancerClass": "other"}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
    });
    let mut allocator = Allocator::default();
    let foreign = service("a", foreign);
    assert!(!adopt(&foreign, &dual(), &mut allocator));
    assert_eq!(run(&v4(), &mut allocator, &foreign), Plan::default());
    for other in ["ClusterIP", "NodePort", "ExternalName"] {
        let plan = run(&v4(), &mut allocator, &service("b", json!({"spec": {"type": other}})));
        assert_eq!(plan, Plan::default());
    }
}

#[test]
fn families_follow_the_cluster_addresses_and_the_policy() {
    let require = json!({"spec": {"clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilyPolicy": "RequireDualStack"}});
    let six = json!({"spec": {"clusterIPs": ["fd00::1"]}});
    let six_first = json!({"spec": {"clusterIPs": ["fd00::1", "10.0.0.1"], "ipFamilyPolicy": "PreferDualStack"}});
    let two_pools = config(&[
        ("a4", json!({"addresses": ["198.51.100.0/30"]})),
        ("b6", json!({"addresses": ["2001:db8:1::/126"]})),
        ("c-dual", json!({"addresses": ["192.0.2.0/30", "2001:db8::/126"]})),
    ]);
    let single_pools = config(&[
        ("a4", json!({"addresses": ["198.51.100.0/30"]})),
        ("b6", json!({"addresses": ["2001:db8:1::/126"]})),
    ]);
    for (pools, more, wanted) in [
        (&two_pools, json!({}), vec!["198.51.100.0"]),
        (&two_pools, six.clone(), vec!["2001:db8:1::"]),
        (&two_pools, both_families(), vec!["192.0.2.0", "2001:db8::"]),
        (&two_pools, six_first.clone(), vec!["192.0.2.0", "2001:db8::"]),
        (&two_pools, require.clone(), vec!["192.0.2.0", "2001:db8::"]),
        (
            &two_pools,
            json!({"spec": {"ipFamilyPolicy": "PreferDualStack"}}),
            vec!["198.51.100.0"],
        ),
        (&single_pools, both_families(), vec!["198.51.100.0"]),
        (&single_pools, six_first, vec!["2001:db8:1::"]),
    ] {
        let plan = run(pools, &mut Allocator::default(), &service("a", more));
        assert_eq!(written(&plan), wanted);
    }
    let refused = run(&single_pools, &mut Allocator::default(), &service("a", require));
    assert!(
        problem(&refused).contains("no IPv4 and IPv6 address is free in a4, b6"),
        "{}",
        problem(&refused)
    );
    let refused = run(&v4(), &mut Allocator::default(), &service("a", six));
    assert!(
        problem(&refused).contains("no IPv6 address is free in p"),
        "{}",
        problem(&refused)
    );
}

#[test]
fn a_service_that_prefers_two_families_gets_the_second_when_its_pool_does_and_settles() {
    let mut allocator = Allocator::default();
    let one = service("a", with(has(&["192.0.2.0"]), both_families()));
    adopt(&one, &dual(), &mut allocator);
    assert_eq!(run(&v4(), &mut allocator, &one), Plan::default());
    assert_eq!(
        written(&run(&dual(), &mut allocator, &one)),
        ["192.0.2.0", "2001:db8::"]
    );
    let two = service("a", with(has(&["192.0.2.0", "2001:db8::"]), both_families()));
    assert_eq!(run(&dual(), &mut allocator, &two), Plan::default());
}

#[test]
fn giving_up_a_family_keeps_the_other_address() {
    let mut allocator = Allocator::default();
    adopt(
        &service("a", with(has(&["192.0.2.1", "2001:db8::1"]), both_families())),
        &dual(),
        &mut allocator,
    );
    let single = service("a", has(&["192.0.2.1", "2001:db8::1"]));
    let plan = run(&dual(), &mut allocator, &single);
    assert_eq!(written(&plan), ["192.0.2.1"]);
    assert_eq!(releasing(&allocator), ["2001:db8::1".parse::<IpAddr>().unwrap()]);
}

/// Made in this second of 2026.
fn made(second: u8) -> Value {
    json!({"metadata": {"creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")}})
}

#[test]
fn of_two_services_with_one_address_in_status_the_older_keeps_it_and_the_younger_moves_or_yields() {
    let (older, newer) = (
        service("z-older", with(has(&["192.0.2.0"]), made(1))),
        service("a-newer", with(has(&["192.0.2.0"]), made(2))),
    );
    let only_one = config(&[("p", json!({"addresses": ["192.0.2.0/32"]}))]);
    for (pools, moves) in [(v4(), true), (only_one, false)] {
        let mut allocator = Allocator::default();
        assert!(adopt(&older, &pools, &mut allocator) && adopt(&newer, &pools, &mut allocator));
        assert_eq!(run(&pools, &mut allocator, &older), Plan::default());
        let plan = run(&pools, &mut allocator, &newer);
        if moves {
            assert_eq!(written(&plan), ["192.0.2.1"]);
        } else {
            assert_eq!(written(&plan), [""; 0]);
            assert!(
                problem(&plan).contains("192.0.2.0 is in use by Service n/z-older"),
                "{}",
                problem(&plan)
            );
            assert_eq!(plan.events[0].reason, EventReason::ClearAssignment);
        }
    }
}

#[test]
fn of_two_sharers_that_are_found_to_clash_the_older_stays() {
    let only_one = config(&[("p", json!({"addresses": ["192.0.2.0/32"]}))]);
    let shared = |name: &str, port: u16, second: u8| {
        let more = json!({"spec": {"ports": [{"port": port}]}});
        service(
            name,
            with(
                with(with(has(&["192.0.2.0"]), annotated("allow-shared-ip", "k")), more),
                made(second),
            ),
        )
    };
    // One was edited to the port of the other; both are found like this at the start, and nothing says which.
    let (older, younger) = (shared("older", 81, 1), shared("younger", 81, 2));
    let mut allocator = Allocator::default();
    adopt(&older, &only_one, &mut allocator);
    adopt(&younger, &only_one, &mut allocator);
    let plan = run(&only_one, &mut allocator, &older);
    assert_eq!((plan.write, plan.problem), (None, None));
    let plan = run(&only_one, &mut allocator, &younger);
    assert_eq!(written(&plan), [""; 0]);
    assert!(ports_error(&plan).contains("port TCP/81 of 192.0.2.0 is in use by Service n/older"));
}

#[test]
fn a_service_of_another_class_is_left_alone_even_with_an_annotation_like_ours() {
    let foreign = service(
        "a",
        with(has(&["192.0.2.0"]), json!({"spec": {"loadBalancerClass": "other"}})),
    );
    assert_eq!(run(&v4(), &mut Allocator::default(), &foreign), Plan::default());
}

#[test]
fn p7_a_foreign_address_written_into_a_status_is_mended_and_the_good_one_kept() {
    let closed = json!({"addresses": ["198.51.100.0/30"], "serviceAllocation": {"namespaces": ["other"]}});
    let pools = config(&[("p", json!({"addresses": ["192.0.2.0/30"]})), ("closed", closed)]);
    for foreign in ["10.0.0.7", "198.51.100.1"] {
        let mut allocator = Allocator::default();
        adopt(&service("a", has(&["192.0.2.2"])), &pools, &mut allocator);
        let plan = run(&pools, &mut allocator, &service("a", has(&[foreign])));
        assert_eq!((written(&plan), plan.problem), (vec!["192.0.2.2".to_owned()], None));
    }
}

#[test]
fn a_service_that_comes_to_require_two_families_keeps_the_address_that_it_has() {
    let require = json!({"spec": {"clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilyPolicy": "RequireDualStack"}});
    let small = config(&[("p", json!({"addresses": ["192.0.2.1/32", "2001:db8::/126"]}))]);
    let mut allocator = Allocator::default();
    let service = service("a", with(has(&["192.0.2.1"]), require));
    adopt(&service, &small, &mut allocator);
    assert_eq!(
        written(&run(&small, &mut allocator, &service)),
        ["192.0.2.1", "2001:db8::"]
    );
}

#[test]
fn pools_that_are_set_aside_come_before_common_ones_that_have_both_families() {
    let pools = config(&[
        (
            "tenant",
            json!({"addresses": ["198.51.100.0/30"], "serviceAllocation": {"namespaces": ["n"]}}),
        ),
        ("common", json!({"addresses": ["192.0.2.0/30", "2001:db8::/126"]})),
    ]);
    let plan = run(&pools, &mut Allocator::default(), &service("a", both_families()));
    assert_eq!(written(&plan), ["198.51.100.0"]);
}

#[test]
fn a_change_that_is_refused_is_held_against_those_who_come_after() {
    let shared = |name: &str, more: Value| service(name, with(annotated("allow-shared-ip", "k"), more));
    let mut allocator = Allocator::default();
    adopt(&shared("a", has(&["192.0.2.0"])), &v4(), &mut allocator);
    // It takes another port, and its new request can't be met.
    let ports = json!({"spec": {"ports": [{"port": 80}, {"port": 443}], "loadBalancerIP": "10.9.9.9"}});
    run(&v4(), &mut allocator, &shared("a", with(has(&["192.0.2.0"]), ports)));
    let wants = json!({"spec": {"ports": [{"port": 443}], "loadBalancerIP": "192.0.2.0"}});
    let plan = run(&v4(), &mut allocator, &shared("b", wants));
    assert!(
        problem(&plan).contains("port TCP/443 of 192.0.2.0 is in use by Service n/a"),
        "{}",
        problem(&plan)
    );
}

#[test]
fn a_status_edited_by_hand_is_followed_if_the_service_can_have_that_and_else_mended() {
    let mut allocator = Allocator::default();
    adopt(&service("a", has(&["192.0.2.0"])), &dual(), &mut allocator);
    adopt(&service("b", has(&["192.0.2.1"])), &dual(), &mut allocator);
    let plan = run(&v4(), &mut allocator, &service("a", has(&["192.0.2.3"])));
    assert_eq!((plan.write.clone(), releasing(&allocator).len()), (None, 1));
    let plan = run(&v4(), &mut allocator, &service("a", has(&["192.0.2.1"])));
    assert_eq!(written(&plan), ["192.0.2.3"]);
    let plan = run(&v4(), &mut allocator, &service("a", has(&[])));
    assert_eq!(written(&plan), ["192.0.2.3"]);
}

#[test]
fn a_sharer_whose_port_collides_moves_when_it_can_and_yields_when_it_cannot() {
    let shared = |name: &str, port: u16| {
        let more = json!({"spec": {"ports": [{"port": port}]}});
        service(
            name,
            with(with(has(&["192.0.2.0"]), annotated("allow-shared-ip", "k")), more),
        )
    };
    let only_one = config(&[("p", json!({"addresses": ["192.0.2.0/32"]}))]);
    for (pools, moves) in [(v4(), true), (only_one, false)] {
        let mut allocator = Allocator::default();
        assert!(adopt(&shared("a", 80), &dual(), &mut allocator) && adopt(&shared("b", 81), &dual(), &mut allocator));
        let plan = run(&pools, &mut allocator, &shared("b", 80));
        if moves {
            assert_eq!(written(&plan), ["192.0.2.1"]);
            assert_eq!(plan.events[0].reason, EventReason::ClearAssignment);
        } else {
            assert_eq!(written(&plan), [""; 0]);
            assert!(
                ports_error(&plan).contains("port TCP/80 of 192.0.2.0 is in use by Service n/a"),
                "{}",
                problem(&plan)
            );
        }
    }
}

#[test]
fn an_exhausted_pool_says_so_and_pools_are_used_in_their_order() {
    let pools = config(&[
        ("a-last", json!({"addresses": ["192.0.2.0/32"]})),
        (
            "z-first",
            json!({"addresses": ["198.51.100.0/32"], "serviceAllocation": {"priority": 5}}),
        ),
    ]);
    let mut allocator = Allocator::default();
    assert_eq!(
        written(&run(&pools, &mut allocator, &service("a", json!({})))),
        ["198.51.100.0"]
    );
    assert_eq!(
        written(&run(&pools, &mut allocator, &service("b", json!({})))),
        ["192.0.2.0"]
    );
    let refused = run(&pools, &mut allocator, &service("c", json!({})));
    assert!(
        problem(&refused).contains("no IPv4 address is free in z-first, a-last"),
        "{}",
        problem(&refused)
    );
    let refused = run(&config(&[]), &mut Allocator::default(), &service("c", json!({})));
    assert!(
        problem(&refused).ends_with("there is no IPAddressPool"),
        "{}",
        problem(&refused)
    );
}

#[test]
fn a_deprecated_annotation_is_told_with_the_allocation() {
    let old = json!({"metadata": {"annotations": {"metallb.universe.tf/address-pool": "p"}}});
    let plan = run(&v4(), &mut Allocator::default(), &service("a", old));
    assert_eq!(
        plan.events.iter().map(|note| note.reason).collect::<Vec<_>>(),
        [EventReason::IpAllocated, EventReason::DeprecatedAnnotation]
    );
}

#[test]
fn a_port_that_another_service_has_is_told_as_a_condition_until_it_is_free() {
    let key = annotated("allow-shared-ip", "k");
    let mut allocator = Allocator::default();
    run(&v4(), &mut allocator, &service("a", key.clone()));
    let asks = with(key, json!({"spec": {"loadBalancerIP": "192.0.2.0"}}));
    let plan = run(&v4(), &mut allocator, &service("b", asks.clone()));
    let text = ports_error(&plan).to_owned();
    assert!(
        text.contains("port TCP/80 of 192.0.2.0 is in use by Service n/a"),
        "{text}"
    );
    // Once it says so, it is not written again; another controller's condition of that name is not ours.
    let conditioned = |reason: &str| {
        let condition = json!({
            "type": "LoadBalancerPortsError", "status": "True", "reason": reason, "message": text,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        service("b", with(asks.clone(), json!({"status": {"conditions": [condition]}})))
    };
    assert_eq!(run(&v4(), &mut allocator, &conditioned("PortInUse")).write, None);
    assert_eq!(conditioned("LoadBalancerMixedProtocolNotSupported").ports_error, None);
    allocator.release_all(&ObjectKey::new("n", "a"));
    let plan = run(&v4(), &mut allocator, &conditioned("PortInUse"));
    assert_eq!((written(&plan), ports_error(&plan)), (vec!["192.0.2.0".to_owned()], ""));
}

#[test]
fn an_address_that_another_load_balancer_has_given_out_is_given_to_nobody() {
    let foreign = |ip: &str| {
        service(
            "foreign",
            json!({
                "spec": {"loadBalancerClass": "other"}, "status": {"loadBalancer": {"ingress": [{"ip": ip}]}},
            }),
        )
    };
    let mut allocator = Allocator::default();
    assert!(!adopt(&foreign("192.0.2.0"), &v4(), &mut allocator));
    assert_eq!(
        written(&run(&v4(), &mut allocator, &service("a", json!({})))),
        ["192.0.2.1"]
    );
    // It moves there: the one that was there before stays, and the address that it left is free.
    assert_eq!(run(&v4(), &mut allocator, &foreign("192.0.2.1")), Plan::default());
    allocator.finish_release(&ObjectKey::new("n", "foreign"));
    assert_eq!(
        run(&v4(), &mut allocator, &service("a", has(&["192.0.2.1"]))),
        Plan::default()
    );
    assert_eq!(
        written(&run(&v4(), &mut allocator, &service("b", json!({})))),
        ["192.0.2.0"]
    );
}

#[test]
fn the_condition_of_a_port_stays_for_as_long_as_the_service_waits_for_it() {
    let shared = |name: &str, port: u16, more: Value| {
        let ports = json!({"spec": {"ports": [{"port": port}]}});
        service(name, with(with(annotated("allow-shared-ip", "k"), ports), more))
    };
    let only_one = config(&[("p", json!({"addresses": ["192.0.2.0/32"]}))]);
    let mut allocator = Allocator::default();
    for (name, port) in [("a", 80), ("b", 81)] {
        assert!(adopt(
            &shared(name, port, has(&["192.0.2.0"])),
            &only_one,
            &mut allocator
        ));
    }
    let first = run(&only_one, &mut allocator, &shared("b", 80, has(&["192.0.2.0"])));
    let text = ports_error(&first).to_owned();
    assert!(text.contains("port TCP/80"), "{text}");
    // The echo of that write: it has nothing now, and says why.
    allocator.finish_release(&ObjectKey::new("n", "b"));
    let condition = json!([{
        "type": "LoadBalancerPortsError", "status": "True", "reason": "PortInUse", "message": text,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    let echo = shared("b", 80, json!({"status": {"conditions": condition}}));
    assert_eq!(run(&only_one, &mut allocator, &echo).write, None);
    allocator.release_all(&ObjectKey::new("n", "a"));
    let last = run(&only_one, &mut allocator, &echo);
    assert_eq!((written(&last), ports_error(&last)), (vec!["192.0.2.0".to_owned()], ""));
}

#[test]
fn another_load_balancers_service_that_becomes_an_ordinary_one_is_left_as_it_is() {
    let foreign = |type_: &str| {
        service(
            "foreign",
            json!({
                "spec": {"type": type_, "loadBalancerClass": "other"}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.0"}]}},
            }),
        )
    };
    let mut allocator = Allocator::default();
    adopt(&foreign("LoadBalancer"), &v4(), &mut allocator);
    assert_eq!(run(&v4(), &mut allocator, &foreign("ClusterIP")), Plan::default());
    assert_eq!(releasing(&allocator).len(), 0);
    allocator.finish_release(&ObjectKey::new("n", "foreign"));
    assert_eq!(
        written(&run(&v4(), &mut allocator, &service("a", json!({})))),
        ["192.0.2.0"]
    );
}
