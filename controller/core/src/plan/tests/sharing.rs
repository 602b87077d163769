//! Services that share an address, and those that conflict.

use super::*;

#[test]
fn of_two_services_with_one_address_the_younger_moves_or_yields() {
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
fn of_two_conflicting_sharers_the_older_stays() {
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
    // One Service was edited to the port of the other. At the start, nothing says which one.
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
fn ports_of_a_refused_change_still_conflict_with_later_services() {
    let shared = |name: &str, more: Value| service(name, with(annotated("allow-shared-ip", "k"), more));
    let mut allocator = Allocator::default();
    adopt(&shared("a", has(&["192.0.2.0"])), &v4(), &mut allocator);
    // The Service adds a port, and its new request cannot be met.
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
fn sharer_whose_port_collides_moves_if_possible_and_else_yields() {
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
fn condition_reports_a_port_conflict_until_the_port_is_free() {
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
    // Once the condition is set, it is not written again. A condition of that type with another
    // reason belongs to another controller.
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
fn port_condition_stays_while_the_service_waits_for_the_port() {
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
    // The watch reports that write: the Service has no address, and a condition says why.
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
