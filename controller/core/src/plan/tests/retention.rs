//! A Service keeps a working address (promise P7).

use super::*;

#[test]
fn p7_request_that_cannot_be_met_keeps_the_old_address() {
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
fn p7_address_without_a_pool_is_retained_or_replaced_by_flag() {
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
        // No other Service gets it.
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
fn p7_reassign_keeps_the_old_address_until_a_new_one_is_available() {
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
fn p7_pool_recorded_under_the_deprecated_prefix_retains_the_address() {
    let pools = config(&[("a-spare", json!({"addresses": ["198.51.100.0/30"]}))]);
    let holder = service("a", has_from_old_metallb(&["192.0.2.0"]));
    let mut allocator = Allocator::default();
    assert!(adopt(&holder, &pools, &mut allocator));
    let plan = run(&pools, &mut allocator, &holder);
    let reason = plan.problem.as_ref().map(|note| note.reason);
    assert_eq!(
        (reason, plan.retained.as_deref(), plan.events.len()),
        (Some(EventReason::AddressRetained), Some("p"), 0)
    );
    // The write only moves the record to the current prefix, and there is no second one.
    let write = plan.write.as_ref().expect("the record to be moved");
    assert_eq!((&write.ingress, write.pool.as_deref()), (&holder.ingress, Some("p")));
    let after = run(&pools, &mut allocator, &service("a", has(&["192.0.2.0"])));
    assert_eq!(after.write, None);
}

#[test]
fn record_under_the_deprecated_prefix_is_removed_where_both_exist() {
    let both = service("a", with(has_from_old_metallb(&["192.0.2.0"]), has(&["192.0.2.0"])));
    let mut allocator = Allocator::default();
    assert!(adopt(&both, &v4(), &mut allocator));
    let write = run(&v4(), &mut allocator, &both).write.expect("a record to be removed");
    assert_eq!((&write.ingress, write.pool.as_deref()), (&both.ingress, Some("p")));
}

#[test]
fn p7_foreign_address_in_the_status_is_replaced_by_the_held_one() {
    let closed = json!({"addresses": ["198.51.100.0/30"], "serviceAllocation": {"namespaces": ["other"]}});
    let pools = config(&[("p", json!({"addresses": ["192.0.2.0/30"]})), ("closed", closed)]);
    for foreign in ["10.0.0.7", "198.51.100.1"] {
        let mut allocator = Allocator::default();
        adopt(&service("a", has(&["192.0.2.2"])), &pools, &mut allocator);
        let plan = run(&pools, &mut allocator, &service("a", has(&[foreign])));
        assert_eq!((written(&plan), plan.problem), (vec!["192.0.2.2".to_owned()], None));
    }
}
