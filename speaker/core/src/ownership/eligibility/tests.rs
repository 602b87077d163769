use std::sync::Arc;

use lodestone_crds::ObjectKey;
use serde_json::{Value, json};

use super::*;
use crate::{
    cluster_snapshot::Endpoints,
    testing::{ADDRESS, config},
    types::MacAddr,
};

fn service() -> ServiceOnAddress {
    ServiceOnAddress {
        service: ObjectKey::new("n", "a"),
        labels: BTreeMap::new(),
        local: false,
        shares: false,
        pool: None,
        endpoints: Arc::new(Endpoints {
            nodes: BTreeSet::from(["a".into()]),
            ..Endpoints::default()
        }),
    }
}

fn snapshot(advertisements: &[Value], services: Vec<ServiceOnAddress>) -> ClusterSnapshot {
    let node = |name: &str| {
        let labels = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        (
            NodeName::from(name),
            Node {
                labels,
                ..Node::default()
            },
        )
    };
    ClusterSnapshot {
        nodes: ["a", "b", "c"].map(node).into_iter().collect(),
        addresses: BTreeMap::from([(ADDRESS.parse().unwrap(), Arc::new(services))]),
        config: Arc::new(config(advertisements)),
        ..ClusterSnapshot::default()
    }
}

fn network(interface: &str, prefixes: &[&str]) -> Network {
    Network {
        interface: interface.to_owned(),
        mac: MacAddr::zero(),
        addresses: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
        carrier: true,
    }
}

/// Every node has a speaker, on an interface without addresses.
fn speakers_everywhere() -> BTreeMap<NodeName, Vec<Network>> {
    ["a", "b", "c"]
        .map(|name| (name.into(), vec![network("eth0", &[])]))
        .into_iter()
        .collect()
}

/// These networks, on which no node has failed.
fn hellos(networks: &BTreeMap<NodeName, Vec<Network>>) -> Hellos {
    Hellos {
        networks: networks.clone(),
        failed: BTreeMap::new(),
    }
}

fn verdict_texts(snapshot: &ClusterSnapshot, networks: &BTreeMap<NodeName, Vec<Network>>) -> Vec<String> {
    let verdicts = verdicts(snapshot, &hellos(networks), ADDRESS.parse().unwrap());
    verdicts
        .values()
        .map(|verdict| {
            verdict
                .as_ref()
                .map_or_else(|reason| format!("{reason:?}"), |_| "ok".into())
        })
        .collect()
}

#[test]
fn p5_address_of_a_node_is_announced_by_no_node() {
    let address: IpAddr = ADDRESS.parse().unwrap();
    let mut networks = speakers_everywhere();
    networks.remove("b");
    for node in ["b", "c"] {
        for is_internal in [true, false] {
            let mut snapshot = snapshot(&[json!({})], vec![service()]);
            let own = snapshot.nodes.get_mut(node).unwrap();
            if is_internal {
                own.address = Some(address);
            } else {
                own.addresses.insert(address);
            }
            let text = |name: &str| if name == node { "OwnAddress" } else { "NodeAddress" };
            assert_eq!(verdict_texts(&snapshot, &networks), ["a", "b", "c"].map(text));
        }
    }
}

#[test]
fn p5_address_on_an_interface_of_a_node_is_announced_by_that_node_only() {
    let mut networks = speakers_everywhere();
    let left_behind = network("eth0", &["192.0.2.77/24", &format!("{ADDRESS}/32")]);
    networks.insert("b".into(), vec![left_behind]);
    assert_eq!(
        verdict_texts(&snapshot(&[json!({})], vec![service()]), &networks),
        ["NodeAddress", "ok", "NodeAddress"]
    );
}

#[test]
fn every_node_with_a_speaker_is_eligible() {
    let mut networks = speakers_everywhere();
    networks.remove("b");
    assert_eq!(
        verdict_texts(&snapshot(&[json!({})], vec![service()]), &networks),
        ["ok", "NoSpeaker", "ok"]
    );
}

#[test]
fn conditions_and_labels_of_a_node_decide() {
    let mut snapshot = snapshot(&[json!({})], vec![service()]);
    snapshot.nodes.get_mut("a").unwrap().network_unavailable = true;
    snapshot
        .nodes
        .get_mut("b")
        .unwrap()
        .labels
        .insert(EXCLUDE_LABEL.to_owned(), String::new());
    assert_eq!(
        verdict_texts(&snapshot, &speakers_everywhere()),
        ["NetworkUnavailable", "ExcludedByLabel", "ok"]
    );
    snapshot.ignore_exclude_label = true;
    assert_eq!(
        verdict_texts(&snapshot, &speakers_everywhere()),
        ["NetworkUnavailable", "ok", "ok"]
    );
}

#[test]
fn advertisement_must_cover_the_pool_the_service_and_the_node() {
    let only_b = json!({"nodeSelectors": [{"matchLabels": {"name": "b"}}]});
    let other_pool = json!({"ipAddressPools": ["other"]});
    let other_service = json!({"serviceSelectors": [{"matchLabels": {"x": "y"}}]});
    for (advertisements, wanted) in [
        (vec![], ["NoAdvertisement"; 3]),
        (vec![other_pool.clone()], ["NoAdvertisement"; 3]),
        (vec![other_service.clone()], ["NoAdvertisement"; 3]),
        (
            vec![only_b.clone(), other_pool],
            ["NoAdvertisement", "ok", "NoAdvertisement"],
        ),
        (vec![only_b, json!({})], ["ok"; 3]),
    ] {
        assert_eq!(
            verdict_texts(&snapshot(&advertisements, vec![service()]), &speakers_everywhere()),
            wanted
        );
    }
    let shares = ServiceOnAddress {
        shares: true,
        ..service()
    };
    let selected = json!({"serviceSelectors": [{}]});
    assert_eq!(
        verdict_texts(
            &snapshot(std::slice::from_ref(&selected), vec![service()]),
            &speakers_everywhere()
        ),
        ["ok"; 3]
    );
    assert_eq!(
        verdict_texts(&snapshot(&[selected], vec![shares]), &speakers_everywhere()),
        ["SharesAndIsSelected"; 3]
    );
}

#[test]
fn address_of_a_deleted_pool_keeps_the_advertisements_of_that_pool() {
    let from_gone = ServiceOnAddress {
        pool: Some("gone".to_owned()),
        ..service()
    };
    for (advertisement, wanted) in [
        (json!({"ipAddressPools": ["gone"]}), "ok"),
        (json!({}), "ok"),
        (json!({"ipAddressPools": ["p"]}), "NoAdvertisement"),
    ] {
        let mut snapshot = snapshot(&[advertisement], vec![from_gone.clone()]);
        let services = snapshot.addresses.remove(&ADDRESS.parse::<IpAddr>().unwrap()).unwrap();
        let outside: IpAddr = "203.0.113.1".parse().unwrap();
        snapshot.addresses.insert(outside, services);
        let verdicts = verdicts(&snapshot, &hellos(&speakers_everywhere()), outside);
        let first = verdicts["a"]
            .as_ref()
            .map_or_else(|reason| format!("{reason:?}"), |_| "ok".to_owned());
        assert_eq!(first, wanted);
    }
}

#[test]
fn node_without_carrier_is_ineligible_where_no_prefix_decides() {
    let lost = |prefixes: &[&str]| Network {
        carrier: false,
        ..network("eth1", prefixes)
    };
    let with = |address: &str, a: Network| {
        let other = || vec![network("eth0", &["10.0.0.2/24"]), network("eth1", &["172.16.0.2/24"])];
        let networks = BTreeMap::from([
            ("a".into(), vec![network("eth0", &["10.0.0.1/24"]), a]),
            ("b".into(), other()),
            ("c".into(), vec![network("eth0", &["10.0.0.3/24"])]),
        ]);
        let mut snapshot = snapshot(&[json!({})], vec![service()]);
        let services = snapshot.addresses.remove(&ADDRESS.parse::<IpAddr>().unwrap()).unwrap();
        let address: IpAddr = address.parse().unwrap();
        snapshot.addresses.insert(address, services);
        let verdicts = verdicts(&snapshot, &hellos(&networks), address);
        ["a", "b", "c"].map(|name| {
            verdicts[name]
                .as_ref()
                .map_or_else(|reason| format!("{reason:?}"), |_| "ok".to_owned())
        })
    };
    let eth1 = || network("eth1", &["172.16.0.1/24"]);
    assert_eq!(
        with("203.0.113.1", eth1()),
        ["ok", "ok", "ok"],
        "a node with fewer networks lacks no carrier"
    );
    assert_eq!(with("203.0.113.1", lost(&["172.16.0.1/24"])), ["NoCarrier", "ok", "ok"]);
    // A prefix shows which network counts.
    assert_eq!(with("10.0.0.9", lost(&["172.16.0.1/24"])), ["ok", "ok", "ok"]);
    assert_eq!(
        with("172.16.0.9", lost(&["172.16.0.1/24"])),
        ["NoPrefix", "ok", "NoPrefix"]
    );
}

#[test]
fn p4_node_with_terminating_endpoints_yields_to_one_that_keeps_some() {
    let with = |nodes: &[&str], ending: &[&str], local: bool| ServiceOnAddress {
        local,
        endpoints: Arc::new(Endpoints {
            nodes: nodes.iter().map(|name| (*name).into()).collect(),
            ending: ending.iter().map(|name| (*name).into()).collect(),
            elsewhere: false,
        }),
        ..service()
    };
    for (service, wanted) in [
        (
            with(&["a", "b"], &["a"], true),
            ["EndpointsEnd", "ok", "NoLocalEndpoint"],
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
    let with = |local: bool, nodes: &[&str], elsewhere: bool| ServiceOnAddress {
        local,
        endpoints: Arc::new(Endpoints {
            nodes: nodes.iter().map(|name| (*name).into()).collect(),
            elsewhere,
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

#[test]
fn interfaces_are_the_union_over_advertisements() {
    let mut networks = speakers_everywhere();
    networks.insert(
        "b".into(),
        vec![network("eth0", &[]), network("lan0", &[]), network("lan1", &[])],
    );
    let on = |names: &[&str]| json!({"interfaces": names});
    for (advertisements, of_b, of_a) in [
        (
            vec![on(&["lan0"]), on(&["lan1"])],
            Some((true, vec!["lan0", "lan1"])),
            None,
        ),
        (
            vec![on(&["lan0"]), json!({})],
            Some((false, vec!["eth0", "lan0", "lan1"])),
            Some((false, vec!["eth0"])),
        ),
        (vec![on(&["nope"])], None, None),
    ] {
        let verdicts = verdicts(
            &snapshot(&advertisements, vec![service()]),
            &hellos(&networks),
            ADDRESS.parse().unwrap(),
        );
        let candidate_of = |node: &str| {
            let candidate = verdicts[node].as_ref().ok()?;
            Some((
                candidate.restricted,
                candidate.interfaces.iter().map(String::as_str).collect::<Vec<_>>(),
            ))
        };
        assert_eq!(
            (candidate_of("b"), candidate_of("a")),
            (of_b, of_a),
            "{advertisements:?}"
        );
    }
}

#[test]
fn only_nodes_with_the_prefix_are_eligible_where_one_has_it() {
    let mut networks = speakers_everywhere();
    networks.insert("b".into(), vec![network("lan0", &["192.0.2.0/24"])]);
    assert_eq!(
        verdict_texts(&snapshot(&[json!({})], vec![service()]), &networks),
        ["NoPrefix", "ok", "NoPrefix"]
    );
    // The prefix counts only on an interface that the advertisement allows.
    let on_eth0 = json!({"interfaces": ["eth0"]});
    assert_eq!(
        verdict_texts(&snapshot(&[on_eth0], vec![service()]), &networks),
        ["ok", "NoInterface", "ok"]
    );
}

#[test]
fn address_is_announced_on_the_interface_with_its_prefix_unless_the_user_names_others() {
    let mut networks = speakers_everywhere();
    let lan = network("lan0", &["192.0.2.7/24"]);
    networks.insert("b".into(), vec![network("eth0", &["10.0.0.7/24"]), lan]);
    for (advertisement, wanted) in [
        (json!({}), vec!["lan0"]),
        (json!({"interfaces": ["eth0", "lan0"]}), vec!["eth0", "lan0"]),
    ] {
        let snapshot = snapshot(&[advertisement], vec![service()]);
        let verdicts = verdicts(&snapshot, &hellos(&networks), ADDRESS.parse().unwrap());
        let candidate = verdicts["b"].as_ref().unwrap();
        assert_eq!(Vec::from_iter(&candidate.interfaces), wanted);
    }
}

#[test]
fn node_that_failed_on_a_segment_takes_no_address_of_that_segment() {
    let mut networks = speakers_everywhere();
    for node in ["a", "b"] {
        let both = vec![network("eth0", &["10.0.0.7/24"]), network("lan0", &["192.0.2.7/24"])];
        networks.insert(node.into(), both);
    }
    for (failed, wanted) in [
        ("lan0", ["NoSpeaker", "ok", "NoPrefix"]),
        ("eth0", ["ok", "ok", "NoPrefix"]),
    ] {
        let hellos = Hellos {
            networks: networks.clone(),
            failed: [("a".into(), [failed.to_owned()].into())].into(),
        };
        let snapshot = snapshot(&[json!({})], vec![service()]);
        let verdicts = verdicts(&snapshot, &hellos, ADDRESS.parse().unwrap());
        let text = |verdict: &Result<Eligibility, Reason>| match verdict {
            Ok(_) => "ok".to_owned(),
            Err(reason) => format!("{reason:?}"),
        };
        assert_eq!(Vec::from_iter(verdicts.values().map(text)), wanted, "{failed}");
    }
}

#[test]
fn weight_is_summed_over_advertisements_that_cover_the_node() {
    let prefers = |name: &str, weight: u32| json!({"weight": weight, "preference": {"matchLabels": {"name": name}}});
    let here = json!({"preferredNodeSelectors": [prefers("a", 60), prefers("b", 50)]});
    let more = json!({"preferredNodeSelectors": [prefers("a", 50)]});
    let not_a = json!({
        "preferredNodeSelectors": [prefers("a", 100)], "nodeSelectors": [{"matchLabels": {"name": "c"}}],
    });
    let verdicts = verdicts(
        &snapshot(&[here, more, not_a], vec![service()]),
        &hellos(&speakers_everywhere()),
        ADDRESS.parse().unwrap(),
    );
    let weights: Vec<u32> = verdicts
        .values()
        .map(|verdict| verdict.as_ref().unwrap().weight)
        .collect();
    assert_eq!(weights, [110, 50, 0]);
}
