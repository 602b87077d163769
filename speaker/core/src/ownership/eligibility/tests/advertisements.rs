//! What advertisements decide: the nodes, the interfaces and the weights.

use super::*;

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
        pool: Some("gone".into()),
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
        let verdicts = verdicts(&snapshot, &known(&speakers_everywhere()), outside);
        assert_eq!(verdict_text(&verdicts["a"]), wanted);
    }
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
            &known(&networks),
            ADDRESS.parse().unwrap(),
        );
        let eligibility_of = |node: &str| {
            let eligibility = verdicts[node].as_ref().ok()?;
            Some((
                eligibility.restricted,
                eligibility.interfaces.iter().map(String::as_str).collect::<Vec<_>>(),
            ))
        };
        assert_eq!(
            (eligibility_of("b"), eligibility_of("a")),
            (of_b, of_a),
            "{advertisements:?}"
        );
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
        &known(&speakers_everywhere()),
        ADDRESS.parse().unwrap(),
    );
    let weights: Vec<u32> = verdicts
        .values()
        .map(|verdict| verdict.as_ref().unwrap().weight)
        .collect();
    assert_eq!(weights, [110, 50, 0]);
}
