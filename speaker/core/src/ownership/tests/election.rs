//! Who takes an address without an owner.

use super::*;

#[test]
fn each_eligible_node_waits_half_a_second_for_the_one_before_it() {
    for place in 0..3 {
        let address = address_where_a_ranks(place);
        let mut parts = cluster_with(&address);
        let delay = 500 * u64::try_from(place).unwrap();
        if place > 0 {
            let decision = decide(&mut parts);
            assert_eq!(recheck_after(&parts, &decision), Some(delay.into()));
            pass_alive(&mut parts, delay - 1);
            decide(&mut parts);
            assert_eq!(claimed_by(&parts, &address), "", "place {place}");
            pass_alive(&mut parts, 1);
        }
        let decision = decide(&mut parts);
        assert_eq!(claimed_by(&parts, &address), "a");
        assert!(decision.announce.contains_key(&ip(&address)));
        let taken = parts.ownership.taken(ip(&address)).unwrap();
        assert_eq!((taken.cause, &taken.from), (OwnershipCause::New, &None));
    }
}

#[test]
fn wait_of_an_eligible_node_begins_again_after_the_address_had_an_owner() {
    let address = address_where_a_ranks(1);
    let mut parts = cluster_with(&address);
    parts.context.settings.ownership = OwnershipMode::Hash;
    decide(&mut parts);
    pass_alive(&mut parts, 400);
    parts.claim("b", &address, 1);
    decide(&mut parts);
    parts
        .ownership
        .handle_release(turn!(parts, parts.now), &"b".into(), claim(&address, 1));
    pass_alive(&mut parts, 400);
    let decision = decide(&mut parts);
    assert_eq!(claimed_by(&parts, &address), "b");
    assert_eq!(recheck_after(&parts, &decision), Some(500));
}

#[test]
fn address_that_was_never_owned_is_claimed_as_tentative() {
    let address = address_where_a_ranks(0);
    for (claimed, tentative) in [(None, true), (Some(false), false), (Some(true), true)] {
        let mut parts = cluster_with(&address);
        if let Some(tentative) = claimed {
            let claim = Claim {
                tentative,
                ..claim(&address, 4)
            };
            parts.claim_as("b", claim, false);
            parts.liveness.handle_leaving(parts.now, &"b".into(), true);
        }
        decide(&mut parts);
        let record = parts.ownership.claims.get(ip(&address)).unwrap();
        assert_eq!(
            (record.node.as_str(), record.tentative),
            ("a", tentative),
            "{claimed:?}"
        );
        assert_eq!(record.epoch.0, if claimed.is_some() { 5 } else { 1 });
    }
}

#[test]
fn recorded_owner_comes_first_when_every_speaker_restarts() {
    let address = address_where_a_ranks(2);
    let mut parts = cluster_with(&address);
    start_with_recorded(&mut parts, &address, "a");
    decide(&mut parts);
    let record = parts.ownership.claims.get(ip(&address)).unwrap();
    assert_eq!((record.node.as_str(), record.tentative), ("a", false));
}

/// The speaker starts while ServiceL2Status says that `node` announces the address.
fn start_with_recorded(parts: &mut Parts, address: &str, node: &str) {
    parts.ownership.recorded = None;
    parts.edit_snapshot(|snapshot| {
        let service = snapshot.service_names(ip(address)).remove(0);
        snapshot.recorded.insert(service, [node.into()].into());
    });
}

#[test]
fn address_recorded_for_another_node_is_claimed_as_tentative() {
    let address = address_where_a_ranks(0);
    let mut parts = cluster_with(&address);
    start_with_recorded(&mut parts, &address, "node-that-left");
    decide(&mut parts);
    let record = parts.ownership.claims.get(ip(&address)).unwrap();
    assert_eq!((record.node.as_str(), record.tentative), ("a", true));
}

#[test]
fn recorded_owner_that_hears_no_peer_claims_as_tentative() {
    for (nodes, tentative) in [(&["a"][..], false), (&["a", "b"][..], true)] {
        let mut parts = Parts::new(nodes, &[ADDRESS]);
        start_with_recorded(&mut parts, ADDRESS, "a");
        decide(&mut parts);
        let record = parts.ownership.claims.get(ip(ADDRESS)).unwrap();
        assert_eq!((record.node.as_str(), record.tentative), ("a", tentative));
    }
}

#[test]
fn record_is_used_once_and_for_five_minutes() {
    let address = address_where_a_ranks(2);
    for (milliseconds, claimed, first) in [(299_999, false, true), (300_000, false, false), (0, true, false)] {
        let mut parts = cluster_with(&address);
        start_with_recorded(&mut parts, &address, "a");
        if claimed {
            parts.claim("b", &address, 1);
            parts.edit_snapshot(|snapshot| snapshot.addresses.clear());
            pass_alive(&mut parts, 3_600_000);
            parts.edit_snapshot(|snapshot| {
                snapshot.addresses = crate::testing::snapshot(&[], &[&address]).addresses;
            });
        }
        pass_alive(&mut parts, milliseconds);
        decide(&mut parts);
        assert_eq!(claimed_by(&parts, &address) == "a", first, "{milliseconds} {claimed}");
    }
}

#[test]
fn claim_from_an_earlier_use_of_an_address_proves_nothing() {
    let address = address_where_a_ranks(0);
    for (repeated, tentative) in [(false, true), (true, false)] {
        let mut parts = cluster_with(&address);
        parts.claim("b", &address, 4);
        let addresses = parts.context.snapshot.as_ref().unwrap().addresses.clone();
        parts.edit_snapshot(|snapshot| snapshot.addresses.clear());
        parts.edit_snapshot(|snapshot| snapshot.addresses = addresses);
        if repeated {
            parts.claim("b", &address, 1);
        }
        parts.liveness.handle_leaving(parts.now, &"b".into(), true);
        decide(&mut parts);
        let record = parts.ownership.claims.get(ip(&address)).unwrap();
        assert_eq!((record.node.as_str(), record.tentative), ("a", tentative), "{repeated}");
    }
}

#[test]
fn former_owner_comes_first_when_sticky_and_the_hash_decides_otherwise() {
    let address = address_where_a_ranks(0);
    for (mode, owner) in [(OwnershipMode::Sticky, "b"), (OwnershipMode::Hash, "a")] {
        let mut parts = cluster_with(&address);
        parts.context.settings.ownership = mode;
        parts.claim("b", &address, 1);
        parts
            .ownership
            .handle_release(turn!(parts, parts.now), &"b".into(), claim(&address, 1));
        let decision = decide(&mut parts);
        assert_eq!(claimed_by(&parts, &address), owner);
        let wait = (mode == OwnershipMode::Sticky).then_some(500);
        assert_eq!(recheck_after(&parts, &decision), wait);
    }
}

#[test]
fn addresses_are_shared_out_fairly_when_sticky_only() {
    let first = address_where_a_ranks(0);
    for (mode, owned) in [(OwnershipMode::Sticky, 1), (OwnershipMode::Hash, 2)] {
        let addresses = addresses_where_a_ranks_first();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).take(2).collect();
        assert_eq!(addresses[0], first);
        let mut parts = Parts::new(&["a", "b", "c"], &addresses);
        for node in ["b", "c"] {
            parts.join(node);
        }
        parts.context.settings.ownership = mode;
        let decision = decide(&mut parts);
        assert_eq!(decision.announce.len(), owned, "{mode}");
    }
}

fn addresses_where_a_ranks_first() -> Vec<String> {
    let addresses = (1..200).map(|host| format!("192.0.2.{host}"));
    let is_first = |address: &String| {
        let before_a = |other: &str| ranking::ranks_before(ip(address), other, "a");
        !before_a("b") && !before_a("c")
    };
    addresses.filter(is_first).collect()
}

#[test]
fn nodes_that_are_down_or_shut_down_are_not_eligible() {
    let address = address_where_a_ranks(1);
    let mut parts = cluster_with(&address);
    let first = if ranking::ranks_before(ip(&address), "b", "c") {
        "b"
    } else {
        "c"
    };
    parts.report_failed(first, if first == "b" { "c" } else { "b" });
    decide(&mut parts);
    assert_eq!(claimed_by(&parts, &address), "a", "the first eligible node has failed");

    let mut parts = cluster_with(&address_where_a_ranks(0));
    parts.context.shutdown = Some(crate::context::Shutdown { handover: true });
    let decision = decide(&mut parts);
    assert!(decision.announce.is_empty() && decision.recheck.is_none());
}

#[test]
fn new_network_of_a_peer_or_its_failure_renews_the_verdicts() {
    let mut parts = cluster();
    let verdicts = |parts: &mut Parts| {
        let view = view!(parts, parts.now);
        parts
            .ownership
            .refresh_verdicts(view, parts.context.snapshot.as_ref().unwrap())
    };
    let before = verdicts(&mut parts);
    assert!(Arc::ptr_eq(&before, &verdicts(&mut parts)), "nothing has changed");
    parts.report_failed("b", "c");
    let after = verdicts(&mut parts);
    let is_eligible = |all: &AllVerdicts| matches!(all[0].1.get("b"), Some(Ok(_)));
    assert!(is_eligible(&before) && !is_eligible(&after));
}

#[test]
fn lack_of_eligible_nodes_is_reported_once_after_two_seconds_by_one_node() {
    let mut parts = cluster();
    advertise(&mut parts, &json!({"interfaces": ["none"]}));
    let events = |parts: &mut Parts| {
        decide(parts);
        let events = parts.drain().events.into_iter();
        let reasons = events.map(|event| match event {
            Event::NoEligibleNode { reasons, .. } => {
                reasons.into_values().map(|reason| format!("{reason:?}")).collect()
            }
            other => panic!("{other:?}"),
        });
        reasons.collect::<Vec<Vec<String>>>()
    };
    let none: [Vec<String>; 0] = [];
    assert_eq!(events(&mut parts), none);
    pass_alive(&mut parts, 1999);
    assert_eq!(events(&mut parts), none);
    pass_alive(&mut parts, 1);
    assert_eq!(events(&mut parts), [["NoInterface"; 3]]);
    assert_eq!(events(&mut parts), none);
    set_excluded(&mut parts, "b", true);
    assert_eq!(
        events(&mut parts),
        [["NoInterface", "ExcludedByLabel", "NoInterface"]],
        "other reasons"
    );
}

#[test]
fn lack_of_eligible_nodes_is_left_to_the_first_available_node() {
    let mut parts = Parts::new(&["A", "a", "b"], &[ADDRESS]);
    parts.join("A");
    advertise(&mut parts, &json!({"interfaces": ["none"]}));
    for _ in 0..2 {
        decide(&mut parts);
        parts.pass(2000);
    }
    assert_eq!(parts.drain().events, []);
}
