use serde_json::{Value, json};

use super::*;

fn pool(name: &str, second: Option<u8>, spec: Value) -> IPAddressPool {
    let mut object =
        json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": name}, "spec": spec});
    if let Some(second) = second {
        object["metadata"]["creationTimestamp"] = format!("2026-01-01T00:00:{second:02}Z").into();
    }
    serde_json::from_value(object).unwrap()
}

fn addresses(addresses: &[&str]) -> Value {
    json!({"addresses": addresses})
}

fn l2(spec: Value) -> L2Advertisement {
    let object = json!({"apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": {"name": "l2"}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

fn create<K>(new: K) -> AdmissionEdit<K> {
    AdmissionEdit {
        old: None,
        new: Some(new),
    }
}

/// The verdict in a cluster with pool `a` (192.0.2.0/28) and Services that have its first `used`
/// addresses.
fn verdict(edit: &Edit, used: u8, on_pool_change: OnPoolChange) -> AdmissionVerdict {
    let resources = Resources {
        pools: vec![pool("a", Some(1), addresses(&["192.0.2.0/28"])), broken()],
        ..Resources::default()
    };
    let services = (0..used).map(|index| {
        let object = json!({
            "metadata": {"name": format!("s{index}"), "namespace": "n"},
            "spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"]},
            "status": {"loadBalancer": {"ingress": [{"ip": format!("192.0.2.{index}")}]}},
        });
        let view = ServiceView::new(&serde_json::from_value(object).unwrap(), "");
        (view.key.clone(), view)
    });
    review(
        edit,
        &ClusterView {
            resources: &resources,
            config: &Config::build(&resources),
            services: &services.collect(),
            namespaces: &HashMap::from([("n".to_owned(), Labels::new())]),
            on_pool_change,
        },
    )
}

/// A pool that is already refused.
fn broken() -> IPAddressPool {
    pool("broken", Some(2), addresses(&["192.0.2.3-192.0.2.1"]))
}

fn denied(edit: &Edit) -> String {
    verdict(edit, 0, OnPoolChange::Retain).denied.unwrap_or_default()
}

#[test]
fn invalid_object_is_denied_with_the_path_of_the_field() {
    let selector = json!({"matchLabels": {"a": "b"}});
    let doubled = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "b"]}]});
    let allocation = |more: Value| {
        Edit::Pool(create(pool(
            "x",
            None,
            json!({"addresses": ["198.51.100.0/24"], "serviceAllocation": more}),
        )))
    };
    for (edit, parts) in [
        (
            Edit::Pool(create(pool("x", None, addresses(&["198.51.100.0/24", "192.0.2.8/29"])))),
            &["IPAddressPool x: spec.addresses[1]: ", "older IPAddressPool a"][..],
        ),
        (
            Edit::Pool(create(pool(
                "x",
                None,
                addresses(&["198.51.100.0/24", "198.51.100.9-198.51.100.10"]),
            ))),
            &["spec.addresses[1]: ", "of the same pool"],
        ),
        (
            Edit::Pool(create(pool("x", None, addresses(&["198.51.100.0/33"])))),
            &["spec.addresses[0]: "],
        ),
        (
            allocation(json!({"namespaces": ["a", "b", "a"]})),
            &["spec.serviceAllocation.namespaces[2]: the same as [0]"],
        ),
        (
            allocation(json!({"namespaceSelectors": [selector, selector]})),
            &["spec.serviceAllocation.namespaceSelectors[1]: the same as [0]"],
        ),
        (
            allocation(json!({"serviceSelectors": [doubled]})),
            &["spec.serviceAllocation.serviceSelectors[0].matchExpressions[0].values[1]: the same as [0]"],
        ),
        (
            Edit::L2Advertisement(create(l2(json!({"ipAddressPools": ["a", "a"]})))),
            &["L2Advertisement l2: spec.ipAddressPools[1]: "],
        ),
        (
            Edit::L2Advertisement(create(l2(
                json!({"nodeSelectors": [{"matchExpressions": [{"key": "a", "operator": "Near"}]}]}),
            ))),
            &["spec.nodeSelectors[0]"],
        ),
    ] {
        let text = denied(&edit);
        assert!(
            parts.iter().all(|part| text.contains(part)),
            "{text:?} lacks one of {parts:?}"
        );
    }
}

#[test]
fn object_that_is_already_refused_does_not_block_other_edits() {
    let good = Edit::Pool(create(pool("x", None, addresses(&["198.51.100.0/24"]))));
    assert_eq!(verdict(&good, 0, OnPoolChange::Retain), AdmissionVerdict::default());
    // An edit of its finalizers or labels leaves the specification alone.
    let mut labelled = broken();
    labelled
        .metadata
        .labels
        .get_or_insert_default()
        .insert("a".to_owned(), "b".to_owned());
    let relabel = Edit::Pool(AdmissionEdit {
        old: Some(broken()),
        new: Some(labelled),
    });
    assert_eq!(verdict(&relabel, 0, OnPoolChange::Retain), AdmissionVerdict::default());
    let delete = Edit::Pool(AdmissionEdit {
        old: Some(broken()),
        new: None,
    });
    assert_eq!(verdict(&delete, 0, OnPoolChange::Retain), AdmissionVerdict::default());
}

#[test]
fn older_pool_cannot_grow_over_a_younger_one() {
    let grown = |name| pool(name, Some(0), addresses(&["192.0.2.0/24"]));
    let edit = Edit::Pool(AdmissionEdit {
        old: Some(pool("older", Some(0), addresses(&["198.51.100.0/24"]))),
        new: Some(grown("older")),
    });
    let text = denied(&edit);
    assert!(
        text.contains("invalidate another object: IPAddressPool a: spec.addresses[0]"),
        "{text}"
    );
}

#[test]
fn edit_that_leaves_addresses_behind_warns_and_names_the_services() {
    let old = pool("a", Some(1), addresses(&["192.0.2.0/28"]));
    let edit = |new: Option<Value>| {
        Edit::Pool(AdmissionEdit {
            old: Some(old.clone()),
            new: new.map(|spec| pool("a", Some(1), spec)),
        })
    };
    let shrunk = edit(Some(addresses(&["192.0.2.1-192.0.2.15"])));
    let answer = verdict(&shrunk, 2, OnPoolChange::Retain);
    assert_eq!(answer.denied, None);
    assert_eq!(
        answer.warnings,
        ["Service n/s0 has 192.0.2.0, which leaves the pool: the Service keeps it, and no other one gets it"]
    );
    let answer = verdict(&shrunk, 2, OnPoolChange::Reassign);
    assert_eq!(
        answer.warnings,
        ["Service n/s0 has 192.0.2.0, which leaves the pool: the Service gets another one, if there is one"]
    );
    let closed = edit(Some(
        json!({"addresses": ["192.0.2.0/28"], "serviceAllocation": {"namespaces": ["other"]}}),
    ));
    let answer = verdict(&closed, 1, OnPoolChange::Retain);
    assert!(
        answer.warnings[0].contains("IPAddressPool a does not serve it"),
        "{answer:?}"
    );
    let answer = verdict(&edit(None), 12, OnPoolChange::Retain);
    assert_eq!((answer.denied, answer.warnings.len()), (None, 11));
    assert_eq!(answer.warnings[10], "and 2 more addresses in use");
    let kept = verdict(&edit(Some(addresses(&["192.0.2.0/24"]))), 12, OnPoolChange::Retain);
    assert_eq!(kept, AdmissionVerdict::default());
}

#[test]
fn advertisement_of_unknown_pools_is_allowed_with_a_warning() {
    let answer = verdict(
        &Edit::L2Advertisement(create(l2(json!({"ipAddressPools": ["a", "b", "broken"]})))),
        0,
        OnPoolChange::Retain,
    );
    assert_eq!(answer.denied, None);
    assert_eq!(
        answer.warnings,
        [
            "there is no IPAddressPool b that is in use",
            "there is no IPAddressPool broken that is in use"
        ]
    );
}

#[test]
fn repair_is_allowed_although_other_refusals_change_their_reason() {
    let shared = |name: &str, second: u8| pool(name, Some(second), addresses(&["10.0.0.0/24"]));
    let resources = Resources {
        pools: vec![shared("p", 1), shared("q", 2), shared("r", 3)],
        ..Resources::default()
    };
    let cluster = ClusterView {
        resources: &resources,
        config: &Config::build(&resources),
        services: &HashMap::new(),
        namespaces: &HashMap::new(),
        on_pool_change: OnPoolChange::Retain,
    };
    let shrunk = pool("p", Some(1), addresses(&["10.0.0.0-10.0.0.200"]));
    for new in [None, Some(shrunk)] {
        let edit = Edit::Pool(AdmissionEdit {
            old: Some(shared("p", 1)),
            new,
        });
        assert_eq!(review(&edit, &cluster), AdmissionVerdict::default());
    }
}
