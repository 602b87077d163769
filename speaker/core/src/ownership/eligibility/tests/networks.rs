//! Which nodes may own an address, by their interfaces.

use super::*;

#[test]
fn node_without_carrier_is_ineligible_where_no_prefix_decides() {
    let lost = |prefixes: &[&str]| Network {
        usable: false,
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
        let verdicts = verdicts(&snapshot, &known(&networks), address);
        ["a", "b", "c"].map(|name| verdict_text(&verdicts[name]))
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
fn interface_with_the_prefix_announces_unless_the_user_names_others() {
    let mut networks = speakers_everywhere();
    let lan = network("lan0", &["192.0.2.7/24"]);
    networks.insert("b".into(), vec![network("eth0", &["10.0.0.7/24"]), lan]);
    for (advertisement, wanted) in [
        (json!({}), vec!["lan0"]),
        (json!({"interfaces": ["eth0", "lan0"]}), vec!["eth0", "lan0"]),
    ] {
        let snapshot = snapshot(&[advertisement], vec![service()]);
        let verdicts = verdicts(&snapshot, &known(&networks), ADDRESS.parse().unwrap());
        let eligibility = verdicts["b"].as_ref().unwrap();
        assert_eq!(Vec::from_iter(&eligibility.interfaces), wanted);
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
        ("lan0", ["FailedOnSegment", "ok", "NoPrefix"]),
        ("eth0", ["ok", "ok", "NoPrefix"]),
    ] {
        let known = KnownNetworks {
            networks: networks.clone(),
            failed: [("a".into(), [failed.to_owned()].into())].into(),
        };
        let snapshot = snapshot(&[json!({})], vec![service()]);
        let verdicts = verdicts(&snapshot, &known, ADDRESS.parse().unwrap());
        assert_eq!(Vec::from_iter(verdicts.values().map(verdict_text)), wanted, "{failed}");
    }
}
