//! Services with one and with two address families.

use super::*;

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
fn dual_stack_service_gets_its_second_family_once_the_pool_has_it() {
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
fn service_that_gives_up_a_family_keeps_the_other_address() {
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

#[test]
fn service_that_starts_to_require_dual_stack_keeps_its_address() {
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
