//! Services that are not ours.

use super::*;

#[test]
fn service_that_is_no_longer_ours_is_released() {
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
fn deprecated_record_is_removed_once_from_a_service_that_has_left() {
    let left = json!({"spec": {"type": "ClusterIP"}});
    let marked = service("a", with(has_from_old_metallb(&[]), left.clone()));
    let plan = run(&v4(), &mut Allocator::default(), &marked);
    assert_eq!((plan.write, plan.events), (Some(DesiredStatus::default()), vec![]));
    assert_eq!(
        run(&v4(), &mut Allocator::default(), &service("a", left)),
        Plan::default()
    );
}

#[test]
fn service_that_was_never_ours_is_left_alone() {
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
fn service_of_another_class_with_our_annotation_is_left_alone() {
    let foreign = service(
        "a",
        with(has(&["192.0.2.0"]), json!({"spec": {"loadBalancerClass": "other"}})),
    );
    assert_eq!(run(&v4(), &mut Allocator::default(), &foreign), Plan::default());
}

#[test]
fn address_of_another_load_balancer_is_never_allocated() {
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
    // The foreign Service moves to an address of ours. Our Service stays, and the address that the
    // foreign one left is free.
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
fn foreign_service_that_becomes_cluster_ip_is_left_alone() {
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
