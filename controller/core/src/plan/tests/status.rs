//! A status that another writer has changed.

use super::*;

#[test]
fn status_of_another_writer_is_replaced() {
    let foreign = json!({"status": {"loadBalancer": {"ingress": [{"hostname": "elb"}, {"ip": "10.1.1.1"}]}}});
    let mut allocator = Allocator::default();
    let foreign = service("a", foreign);
    adopt(&foreign, &dual(), &mut allocator);
    assert_eq!(written(&run(&v4(), &mut allocator, &foreign)), ["192.0.2.0"]);
}

#[test]
fn foreign_entries_leave_the_status_and_our_address_stays() {
    let strange = service("a", has(&["10.9.9.9", "192.0.2.1", "192.0.2.2"]));
    let mut allocator = Allocator::default();
    assert!(adopt(&strange, &v4(), &mut allocator));
    assert_eq!(written(&run(&v4(), &mut allocator, &strange)), ["192.0.2.1"]);
    // None of our addresses is left, so the Service gets a new one.
    let foreign = service("b", has(&["10.9.9.7", "10.9.9.8", "10.9.9.9"]));
    assert!(!adopt(&foreign, &v4(), &mut allocator));
    assert_eq!(written(&run(&v4(), &mut allocator, &foreign)), ["192.0.2.0"]);
}

#[test]
fn fields_that_others_add_to_an_entry_stay() {
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
fn edited_status_is_followed_if_allowed_and_otherwise_restored() {
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
