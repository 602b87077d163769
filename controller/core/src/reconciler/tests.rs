use lodestone_crds::IPAddressPool;
use serde_json::{Value, json};

use super::*;
use crate::notice::EventReason;

fn service(name: &str, version: u64, second: u8, more: Value) -> ServiceView {
    let mut object = json!({
        "metadata": {
            "name": name, "namespace": "n", "uid": name, "resourceVersion": version.to_string(),
            "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
        },
        "spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]},
    });
    if let Some(ip) = more.get("has") {
        object["status"] = json!({"loadBalancer": {"ingress": [{"ip": ip}]}});
        object["metadata"]["annotations"] = json!({"metallb.io/ip-allocated-from-pool": "p"});
    }
    ServiceView::new(&serde_json::from_value(object).unwrap(), "")
}

fn pool(name: &str, addresses: &str) -> IPAddressPool {
    serde_json::from_value(json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": name}, "spec": {"addresses": [addresses]},
    }))
    .unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("n", name)
}

fn started(services: Vec<ServiceView>) -> Reconciler {
    let mut reconciler = Reconciler::new(OnPoolChange::Retain);
    reconciler.set_leader(true);
    for service in services {
        reconciler.handle_service(ResourceChange::Applied(service));
    }
    reconciler.handle_pool(ResourceChange::Applied(pool("p", "192.0.2.0/31")));
    reconciler.handle_service(ResourceChange::Synced);
    reconciler.handle_namespace(ResourceChange::Applied(("n".to_owned(), Labels::new())));
    reconciler.handle_namespace(ResourceChange::Synced);
    reconciler.handle_l2_advertisement(ResourceChange::Synced);
    assert_eq!(
        reconciler.poll_job(),
        None,
        "nothing is planned before the last watch has synced"
    );
    reconciler.handle_pool(ResourceChange::Synced);
    reconciler
}

/// Does every job as the API server would. Returns the addresses written.
fn settle(reconciler: &mut Reconciler) -> Vec<(String, String)> {
    let mut written = Vec::new();
    while let Some(job) = reconciler.poll_job() {
        let ip = job.status.ingress[0].ip.clone().unwrap();
        let version = job.resource_version.parse::<u64>().unwrap() + 100;
        reconciler.handle_write_succeeded(service(job.key.name(), version, 0, json!({"has": ip})));
        written.push((job.key.name().to_owned(), ip));
    }
    written
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn all_addresses_are_adopted_first_and_the_oldest_service_is_served_first() {
    let mut reconciler = started(vec![
        service("young", 1, 3, json!({})),
        service("old", 2, 2, json!({})),
        service("has-one", 3, 9, json!({"has": "192.0.2.0"})),
    ]);
    assert_eq!(settle(&mut reconciler), pairs(&[("old", "192.0.2.1")]));
    assert!(reconciler.problems().contains_key(&key("young")));
}

#[test]
fn waiting_service_gets_an_address_when_one_is_released() {
    let mut reconciler = started(vec![
        service("a", 1, 1, json!({"has": "192.0.2.0"})),
        service("b", 2, 2, json!({"has": "192.0.2.1"})),
        service("waits", 3, 3, json!({})),
    ]);
    assert_eq!(settle(&mut reconciler), []);
    reconciler.handle_service(ResourceChange::Gone(key("a")));
    assert_eq!(settle(&mut reconciler), pairs(&[("waits", "192.0.2.0")]));
    assert!(reconciler.problems().is_empty());
}

#[test]
fn problem_is_reported_once() {
    let mut reconciler = started(vec![
        service("a", 1, 1, json!({"has": "192.0.2.0"})),
        service("b", 1, 2, json!({"has": "192.0.2.1"})),
    ]);
    reconciler.handle_service(ResourceChange::Applied(service("c", 3, 3, json!({}))));
    assert_eq!(settle(&mut reconciler), []);
    let events = reconciler.poll_events();
    assert_eq!(
        events.iter().map(|event| event.notice.reason).collect::<Vec<_>>(),
        [EventReason::AllocationFailed]
    );
    reconciler.handle_service(ResourceChange::Applied(service("c", 4, 3, json!({}))));
    assert_eq!((settle(&mut reconciler).len(), reconciler.poll_events().len()), (0, 0));
}

#[test]
fn service_is_not_planned_while_its_status_is_being_written() {
    let mut reconciler = started(vec![service("a", 1, 1, json!({}))]);
    let job = reconciler.poll_job().unwrap();
    reconciler.handle_service(ResourceChange::Applied(service("a", 2, 1, json!({}))));
    assert_eq!(reconciler.poll_job(), None);
    reconciler.handle_write_succeeded(service("a", 3, 1, json!({"has": "192.0.2.0"})));
    assert_eq!((reconciler.poll_job(), job.resource_version.as_str()), (None, "1"));
    // A late report of the watch is older than the answer to the write.
    reconciler.handle_service(ResourceChange::Applied(service("a", 2, 1, json!({}))));
    assert_eq!(reconciler.poll_job(), None);
}

#[test]
fn failed_write_is_planned_again_after_a_growing_wait() {
    let mut reconciler = started(vec![service("a", 1, 1, json!({}))]);
    let first = reconciler.poll_job().unwrap();
    let waits = [
        reconciler.handle_write_failed(&key("a")),
        reconciler.handle_write_failed(&key("a")),
        reconciler.handle_write_failed(&key("a")),
    ];
    assert_eq!(waits, [100, 200, 400].map(Duration::from_millis));
    assert!(
        (0..40)
            .map(|_| reconciler.handle_write_failed(&key("a")))
            .all(|wait| wait <= WRITE_BACKOFF.max)
    );
    reconciler.handle_service(ResourceChange::Applied(service("a", 7, 1, json!({}))));
    reconciler.handle_retry_due(&key("a"));
    let second = reconciler.poll_job().unwrap();
    assert_eq!((second.resource_version.as_str(), &second.status), ("7", &first.status));
}

#[test]
fn new_pool_serves_waiting_services_and_a_refused_one_does_nothing() {
    let mut reconciler = started(vec![
        service("a", 1, 1, json!({"has": "192.0.2.0"})),
        service("b", 1, 2, json!({"has": "192.0.2.1"})),
        service("c", 1, 3, json!({})),
    ]);
    assert_eq!(settle(&mut reconciler), []);
    reconciler.handle_pool(ResourceChange::Applied(pool("broken", "nonsense")));
    assert_eq!(
        (settle(&mut reconciler), reconciler.config().refused.len()),
        (vec![], 1)
    );
    reconciler.handle_pool(ResourceChange::Applied(pool("q", "198.51.100.0/32")));
    assert_eq!(settle(&mut reconciler), pairs(&[("c", "198.51.100.0")]));
}

#[test]
fn undecodable_pool_takes_no_address_away() {
    let mut reconciler = started(vec![service("a", 1, 1, json!({"has": "192.0.2.0"}))]);
    reconciler.handle_pool(ResourceChange::Undecodable(key("p"), "not a pool".to_owned()));
    assert_eq!(
        (settle(&mut reconciler).len(), reconciler.problems()[&key("a")].reason),
        (0, EventReason::AddressRetained)
    );
    assert_eq!(reconciler.config().refused[0].message, "not a pool");
    reconciler.handle_pool(ResourceChange::Applied(pool("p", "192.0.2.0/31")));
    assert_eq!((settle(&mut reconciler).len(), reconciler.problems().len()), (0, 0));
}

#[test]
fn address_is_free_only_after_the_status_no_longer_lists_it() {
    let mut reconciler = started(vec![
        service("a", 1, 1, json!({"has": "192.0.2.0"})),
        service("b", 1, 2, json!({"has": "192.0.2.1"})),
        service("waits", 3, 3, json!({})),
    ]);
    assert_eq!(settle(&mut reconciler), []);
    // A second pool appears, and Service a asks for an address of it.
    reconciler.handle_pool(ResourceChange::Applied(pool("q", "198.51.100.1/32")));
    let asks = |version: u64, has: &str| {
        let mut view = service("a", version, 1, json!({"has": has}));
        view.request = crate::service_view::Request::Addresses(vec!["198.51.100.1".parse().unwrap()]);
        view
    };
    reconciler.handle_service(ResourceChange::Applied(asks(5, "192.0.2.0")));
    let mut jobs = Vec::new();
    while let Some(job) = reconciler.poll_job() {
        jobs.push((job.key.name().to_owned(), job.status.ingress[0].ip.clone().unwrap()));
    }
    assert_eq!(jobs, pairs(&[("a", "198.51.100.1")]), "192.0.2.0 is not free yet");
    reconciler.poll_events();
    reconciler.handle_write_failed(&key("a"));
    reconciler.handle_retry_due(&key("a"));
    assert_eq!(reconciler.poll_job().unwrap().key, key("a"));
    assert_eq!(reconciler.poll_events(), [], "no event is sent before the write");
    reconciler.handle_write_succeeded(asks(6, "198.51.100.1"));
    assert_eq!(
        reconciler
            .poll_events()
            .iter()
            .filter(|event| event.notice.reason == EventReason::IpAllocated)
            .count(),
        1
    );
    assert_eq!(settle(&mut reconciler), pairs(&[("waits", "192.0.2.0")]));
}

#[test]
fn service_waits_for_its_namespace_to_be_known() {
    let mut reconciler = started(vec![]);
    let mut early = service("a", 1, 1, json!({}));
    early.key = ObjectKey::new("late", early.key.name());
    reconciler.handle_service(ResourceChange::Applied(early));
    assert_eq!(reconciler.poll_job(), None);
    reconciler.handle_namespace(ResourceChange::Applied(("late".to_owned(), Labels::new())));
    assert_eq!(reconciler.poll_job().unwrap().key.namespace(), "late");
}

#[test]
fn new_object_of_the_same_name_inherits_nothing() {
    let mut reconciler = started(vec![service("a", 1, 1, json!({"has": "192.0.2.1"}))]);
    assert_eq!(settle(&mut reconciler), []);
    let mut another = service("a", 9, 2, json!({}));
    another.uid = "another".to_owned();
    reconciler.handle_service(ResourceChange::Applied(another));
    let job = reconciler.poll_job().unwrap();
    assert_eq!(job.status.ingress[0].ip.as_deref(), Some("192.0.2.0"));
}

#[test]
fn service_gets_a_shared_address_when_its_holder_begins_to_share() {
    let mut reconciler = started(vec![service("a", 1, 1, json!({"has": "192.0.2.0"}))]);
    settle(&mut reconciler);
    let sharing = |name: &str, version: u64, second: u8, port: i32, more: Value| {
        let mut view = service(name, version, second, more);
        view.holder.sharing_key = Some("k".to_owned());
        view.holder.ports[0].number = port;
        view
    };
    let mut asks = sharing("b", 2, 2, 443, json!({}));
    asks.request = crate::service_view::Request::Addresses(vec!["192.0.2.0".parse().unwrap()]);
    reconciler.handle_service(ResourceChange::Applied(asks));
    assert_eq!(reconciler.poll_job(), None);
    reconciler.handle_service(ResourceChange::Applied(sharing(
        "a",
        3,
        1,
        80,
        json!({"has": "192.0.2.0"}),
    )));
    assert_eq!(reconciler.poll_job().unwrap().key, key("b"));
}

#[test]
fn standby_allocates_nothing_and_continues_where_the_leader_stopped() {
    let mut reconciler = started(vec![service("a", 1, 1, json!({})), service("b", 1, 2, json!({}))]);
    reconciler.set_leader(false);
    assert_eq!((reconciler.poll_job(), reconciler.is_synced()), (None, true));
    // The other leader has allocated the first address to Service a. This replica no longer knows
    // what it had planned.
    reconciler.handle_service(ResourceChange::Applied(service("a", 5, 1, json!({"has": "192.0.2.0"}))));
    reconciler.handle_service(ResourceChange::Applied(service("c", 6, 3, json!({"has": "192.0.2.1"}))));
    reconciler.handle_service(ResourceChange::Gone(key("c")));
    reconciler.set_leader(true);
    assert_eq!(settle(&mut reconciler), pairs(&[("b", "192.0.2.1")]));
}

#[test]
fn waiting_service_gets_an_address_that_a_foreign_service_releases() {
    let foreign = |version: u64, ip: &str| {
        let object = json!({
            "metadata": {"name": "foreign", "namespace": "n", "uid": "foreign", "resourceVersion": version.to_string()},
            "spec": {"type": "LoadBalancer", "loadBalancerClass": "other", "clusterIPs": ["10.0.0.1"]},
            "status": {"loadBalancer": {"ingress": [{"ip": ip}]}},
        });
        ServiceView::new(&serde_json::from_value(object).unwrap(), "")
    };
    let mut reconciler = started(vec![
        foreign(1, "192.0.2.0"),
        service("a", 2, 1, json!({"has": "192.0.2.1"})),
        service("b", 3, 2, json!({})),
    ]);
    assert_eq!(settle(&mut reconciler), []);
    reconciler.handle_service(ResourceChange::Applied(foreign(9, "203.0.113.1")));
    assert_eq!(settle(&mut reconciler), pairs(&[("b", "192.0.2.0")]));
}

#[test]
fn new_leader_starts_from_a_list_made_after_it_became_leader() {
    let mut reconciler = started(vec![
        service("a", 1, 1, json!({"has": "192.0.2.0"})),
        service("gone", 2, 2, json!({"has": "192.0.2.1"})),
    ]);
    assert_eq!(settle(&mut reconciler), []);
    reconciler.set_leader(false);
    reconciler.begin_relist();
    reconciler.set_leader(true);
    // In the meantime one of the two was deleted, and a new Service was created.
    reconciler.handle_service(ResourceChange::Applied(service("a", 1, 1, json!({"has": "192.0.2.0"}))));
    reconciler.handle_service(ResourceChange::Applied(service("new", 7, 3, json!({}))));
    assert_eq!(
        reconciler.poll_job(),
        None,
        "nothing is planned before the new list is complete"
    );
    reconciler.handle_service(ResourceChange::Synced);
    assert_eq!(settle(&mut reconciler), pairs(&[("new", "192.0.2.1")]));
}
