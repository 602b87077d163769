//! Which nodes may own an address, by the endpoints of its Services.

use super::*;

#[test]
fn p4_node_with_terminating_endpoints_yields_to_one_that_keeps_some() {
    let with = |nodes: &[&str], terminating: &[&str], local: bool| ServiceOnAddress {
        local,
        endpoints: Arc::new(Endpoints {
            nodes: nodes.iter().map(|name| (*name).into()).collect(),
            terminating: terminating.iter().map(|name| (*name).into()).collect(),
            on_unknown_node: false,
        }),
        ..service()
    };
    for (service, wanted) in [
        (
            with(&["a", "b"], &["a"], true),
            ["EndpointsTerminating", "ok", "NoLocalEndpoint"],
        ),
        (with(&["a", "b"], &["a", "b"], true), ["ok", "ok", "NoLocalEndpoint"]),
        (with(&["a", "b"], &["a"], false), ["ok"; 3]),
    ] {
        assert_eq!(
            verdict_texts(&snapshot(&[json!({})], vec![service.clone()]), &speakers_everywhere()),
            wanted,
            "{service:?}"
        );
    }
}

#[test]
fn endpoints_decide_under_both_traffic_policies() {
    let with = |local: bool, nodes: &[&str], on_unknown_node: bool| ServiceOnAddress {
        local,
        endpoints: Arc::new(Endpoints {
            nodes: nodes.iter().map(|name| (*name).into()).collect(),
            on_unknown_node,
            ..Endpoints::default()
        }),
        ..service()
    };
    for (service, wanted) in [
        (with(false, &[], false), ["NoEndpoint"; 3]),
        (with(false, &["b"], false), ["ok"; 3]),
        (with(false, &[], true), ["ok"; 3]),
        (with(true, &["b"], false), ["NoLocalEndpoint", "ok", "NoLocalEndpoint"]),
        (with(true, &[], false), ["NoEndpoint"; 3]),
        (with(true, &[], true), ["ok"; 3]),
    ] {
        assert_eq!(
            verdict_texts(&snapshot(&[json!({})], vec![service.clone()]), &speakers_everywhere()),
            wanted,
            "{service:?}"
        );
    }
}

#[test]
fn node_must_suit_every_serving_service_of_a_shared_address() {
    let on = |nodes: &[&str]| ServiceOnAddress {
        local: true,
        shares: true,
        endpoints: Arc::new(Endpoints {
            nodes: nodes.iter().map(|name| (*name).into()).collect(),
            ..Endpoints::default()
        }),
        ..service()
    };
    let snapshot = snapshot(&[json!({})], vec![on(&["a", "b"]), on(&["b", "c"]), on(&[])]);
    assert_eq!(
        verdict_texts(&snapshot, &speakers_everywhere()),
        ["NoLocalEndpoint", "ok", "NoLocalEndpoint"]
    );
}
