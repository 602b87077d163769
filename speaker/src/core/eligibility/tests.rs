use std::sync::Arc;

use lodestone_crds::{Config, IPAddressPool, L2Advertisement, ObjectKey, Resources};
use serde_json::{Value, json};

use super::*;
use crate::core::facts::Endpoints;

const ADDRESS: &str = "192.0.2.1";

/// A pool with the address, and these advertisements.
pub(crate) fn config(advertisements: &[Value]) -> Config {
    let pool: IPAddressPool = serde_json::from_value(json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "p"},
        "spec": {"addresses": ["192.0.2.0/24", "2001:db8::/120"]},
    }))
    .unwrap();
    let l2_advertisements = advertisements.iter().enumerate().map(|(index, spec)| {
        serde_json::from_value::<L2Advertisement>(json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": {"name": format!("l2-{index}")}, "spec": spec,
        }))
        .unwrap()
    });
    Config::build(&Resources {
        pools: vec![pool],
        l2_advertisements: l2_advertisements.collect(),
        undecodable: vec![],
    })
}

fn tenant() -> Tenant {
    Tenant {
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

fn facts(advertisements: &[Value], tenants: Vec<Tenant>) -> Facts {
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
    Facts {
        nodes: ["a", "b", "c"].map(node).into_iter().collect(),
        addresses: BTreeMap::from([(ADDRESS.parse().unwrap(), Arc::new(tenants))]),
        config: Arc::new(config(advertisements)),
        ..Facts::default()
    }
}

fn network(interface: &str, prefixes: &[&str]) -> Network {
    Network {
        interface: interface.to_owned(),
        mac: [0; 6],
        addresses: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
        carrier: true,
    }
}

/// Speakers everywhere, on an interface without addresses.
fn everywhere() -> BTreeMap<NodeName, Vec<Network>> {
    ["a", "b", "c"]
        .map(|name| (name.into(), vec![network("eth0", &[])]))
        .into_iter()
        .collect()
}

fn told(facts: &Facts, networks: &BTreeMap<NodeName, Vec<Network>>) -> Vec<String> {
    let verdicts = verdicts(facts, networks, ADDRESS.parse().unwrap());
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
fn everybody_may_who_has_a_speaker() {
    let mut networks = everywhere();
    networks.remove("b");
    assert_eq!(
        told(&facts(&[json!({})], vec![tenant()]), &networks),
        ["ok", "NoSpeaker", "ok"]
    );
}

#[test]
fn conditions_and_labels_of_nodes_count() {
    let mut facts = facts(&[json!({})], vec![tenant()]);
    facts.nodes.get_mut("a").unwrap().network_unavailable = true;
    facts
        .nodes
        .get_mut("b")
        .unwrap()
        .labels
        .insert(EXCLUDE_LABEL.to_owned(), String::new());
    assert_eq!(
        told(&facts, &everywhere()),
        ["NetworkUnavailable", "ExcludedByLabel", "ok"]
    );
    facts.ignore_exclude_label = true;
    assert_eq!(told(&facts, &everywhere()), ["NetworkUnavailable", "ok", "ok"]);
}

#[test]
fn without_an_advertisement_for_the_pool_the_service_and_the_node_nobody_may() {
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
        assert_eq!(told(&facts(&advertisements, vec![tenant()]), &everywhere()), wanted);
    }
    let shares = Tenant {
        shares: true,
        ..tenant()
    };
    let selected = json!({"serviceSelectors": [{}]});
    assert_eq!(
        told(&facts(std::slice::from_ref(&selected), vec![tenant()]), &everywhere()),
        ["ok"; 3]
    );
    assert_eq!(
        told(&facts(&[selected], vec![shares]), &everywhere()),
        ["SharesAndIsSelected"; 3]
    );
}

#[test]
fn an_address_whose_pool_is_gone_goes_on_under_the_advertisements_that_name_it_or_all_pools() {
    let from_gone = Tenant {
        pool: Some("gone".to_owned()),
        ..tenant()
    };
    for (advertisement, wanted) in [
        (json!({"ipAddressPools": ["gone"]}), "ok"),
        (json!({}), "ok"),
        (json!({"ipAddressPools": ["p"]}), "NoAdvertisement"),
    ] {
        let mut facts = facts(&[advertisement], vec![from_gone.clone()]);
        let tenants = facts.addresses.remove(&ADDRESS.parse::<IpAddr>().unwrap()).unwrap();
        let outside: IpAddr = "203.0.113.1".parse().unwrap();
        facts.addresses.insert(outside, tenants);
        let verdicts = verdicts(&facts, &everywhere(), outside);
        let first = verdicts["a"]
            .as_ref()
            .map_or_else(|reason| format!("{reason:?}"), |_| "ok".to_owned());
        assert_eq!(first, wanted);
    }
}

#[test]
fn a_node_that_has_lost_a_carrier_comes_last_where_no_prefix_tells_which_network_an_address_is_of() {
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
        let mut facts = facts(&[json!({})], vec![tenant()]);
        let tenants = facts.addresses.remove(&ADDRESS.parse::<IpAddr>().unwrap()).unwrap();
        let address: IpAddr = address.parse().unwrap();
        facts.addresses.insert(address, tenants);
        let verdicts = verdicts(&facts, &networks, address);
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
        "fewer networks are no loss"
    );
    assert_eq!(with("203.0.113.1", lost(&["172.16.0.1/24"])), ["NoCarrier", "ok", "ok"]);
    // A prefix tells which network counts.
    assert_eq!(with("10.0.0.9", lost(&["172.16.0.1/24"])), ["ok", "ok", "ok"]);
    assert_eq!(
        with("172.16.0.9", lost(&["172.16.0.1/24"])),
        ["NoPrefix", "ok", "NoPrefix"]
    );
}

#[test]
fn p4_an_address_leaves_a_node_whose_endpoints_all_end_if_another_has_one_that_stays() {
    let with = |nodes: &[&str], ending: &[&str], local: bool| Tenant {
        local,
        endpoints: Arc::new(Endpoints {
            nodes: nodes.iter().map(|name| (*name).into()).collect(),
            ending: ending.iter().map(|name| (*name).into()).collect(),
            elsewhere: false,
        }),
        ..tenant()
    };
    for (tenant, wanted) in [
        (
            with(&["a", "b"], &["a"], true),
            ["EndpointsEnd", "ok", "NoLocalEndpoint"],
        ),
        (with(&["a", "b"], &["a", "b"], true), ["ok", "ok", "NoLocalEndpoint"]),
        (with(&["a", "b"], &["a"], false), ["ok"; 3]),
    ] {
        assert_eq!(
            told(&facts(&[json!({})], vec![tenant.clone()]), &everywhere()),
            wanted,
            "{tenant:?}"
        );
    }
}

#[test]
fn endpoints_decide_for_both_traffic_policies() {
    let with = |local: bool, nodes: &[&str], elsewhere: bool| Tenant {
        local,
        endpoints: Arc::new(Endpoints {
            nodes: nodes.iter().map(|name| (*name).into()).collect(),
            elsewhere,
            ..Endpoints::default()
        }),
        ..tenant()
    };
    for (tenant, wanted) in [
        (with(false, &[], false), ["NoEndpoint"; 3]),
        (with(false, &["b"], false), ["ok"; 3]),
        (with(false, &[], true), ["ok"; 3]),
        (with(true, &["b"], false), ["NoLocalEndpoint", "ok", "NoLocalEndpoint"]),
        (with(true, &[], false), ["NoEndpoint"; 3]),
        (with(true, &[], true), ["ok"; 3]),
    ] {
        assert_eq!(
            told(&facts(&[json!({})], vec![tenant.clone()]), &everywhere()),
            wanted,
            "{tenant:?}"
        );
    }
}

#[test]
fn of_services_that_share_each_that_serves_has_a_say() {
    let on = |nodes: &[&str]| Tenant {
        local: true,
        shares: true,
        endpoints: Arc::new(Endpoints {
            nodes: nodes.iter().map(|name| (*name).into()).collect(),
            ..Endpoints::default()
        }),
        ..tenant()
    };
    let facts = facts(&[json!({})], vec![on(&["a", "b"]), on(&["b", "c"]), on(&[])]);
    assert_eq!(
        told(&facts, &everywhere()),
        ["NoLocalEndpoint", "ok", "NoLocalEndpoint"]
    );
}

#[test]
fn interfaces_are_the_union_of_the_advertisements_and_one_without_any_allows_all() {
    let mut networks = everywhere();
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
            &facts(&advertisements, vec![tenant()]),
            &networks,
            ADDRESS.parse().unwrap(),
        );
        let told = |node: &str| {
            let standing = verdicts[node].as_ref().ok()?;
            Some((
                standing.restricted,
                standing.interfaces.iter().map(String::as_str).collect::<Vec<_>>(),
            ))
        };
        assert_eq!((told("b"), told("a")), (of_b, of_a), "{advertisements:?}");
    }
}

#[test]
fn where_a_node_has_the_prefix_only_such_nodes_may() {
    let mut networks = everywhere();
    networks.insert("b".into(), vec![network("lan0", &["192.0.2.0/24"])]);
    assert_eq!(
        told(&facts(&[json!({})], vec![tenant()]), &networks),
        ["NoPrefix", "ok", "NoPrefix"]
    );
    // The prefix counts on an interface that is allowed only.
    let on_eth0 = json!({"interfaces": ["eth0"]});
    assert_eq!(
        told(&facts(&[on_eth0], vec![tenant()]), &networks),
        ["ok", "NoInterface", "ok"]
    );
}

#[test]
fn weights_come_from_the_advertisements_that_cover_the_node() {
    let prefers = |name: &str, weight: u32| json!({"weight": weight, "preference": {"matchLabels": {"name": name}}});
    let here = json!({"preferredNodeSelectors": [prefers("a", 60), prefers("b", 50)]});
    let more = json!({"preferredNodeSelectors": [prefers("a", 50)]});
    let not_a = json!({
        "preferredNodeSelectors": [prefers("a", 100)], "nodeSelectors": [{"matchLabels": {"name": "c"}}],
    });
    let verdicts = verdicts(
        &facts(&[here, more, not_a], vec![tenant()]),
        &everywhere(),
        ADDRESS.parse().unwrap(),
    );
    let weights: Vec<u32> = verdicts
        .values()
        .map(|verdict| verdict.as_ref().unwrap().weight)
        .collect();
    assert_eq!(weights, [110, 50, 0]);
}
