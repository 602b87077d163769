//! Which addresses a Service gets for its request.

use super::*;

#[test]
fn new_service_gets_the_lowest_address_and_one_event() {
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
fn valid_request_is_met() {
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
fn refused_request_says_why() {
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
fn reserved_pool_comes_before_a_common_dual_stack_pool() {
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
fn pools_are_used_by_rank_and_exhaustion_is_reported() {
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
fn deprecated_annotation_is_reported_with_the_allocation() {
    let old = json!({"metadata": {"annotations": {"metallb.universe.tf/address-pool": "p"}}});
    let plan = run(&v4(), &mut Allocator::default(), &service("a", old));
    assert_eq!(
        plan.events.iter().map(|note| note.reason).collect::<Vec<_>>(),
        [EventReason::IpAllocated, EventReason::DeprecatedAnnotation]
    );
    // MetalLB set this one, not the user.
    let record = service("b", has_from_old_metallb(&[]));
    let plan = run(&v4(), &mut Allocator::default(), &record);
    assert_eq!(
        plan.events.iter().map(|note| note.reason).collect::<Vec<_>>(),
        [EventReason::IpAllocated]
    );
}
