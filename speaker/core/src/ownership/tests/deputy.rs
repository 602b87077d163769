//! Which node answers as the deputy of an owner that is away, and which checks it on the wire.

use super::*;
use crate::{
    lan::DeputyDuty,
    node::interface::InterfacePort,
    test_support::network,
    testing::ethernet,
    types::{InterfaceIndex, MacAddr},
};

/// `b` owns an address. Among the other eligible nodes, this one comes at this place.
fn owned_by_b(place: usize) -> (Parts, String) {
    let mut addresses = (1..200).map(|host| format!("192.0.2.{host}"));
    let is_there = |address: &String| ranking::ranks_before(ip(address), "a", "c") == (place == 0);
    let address = addresses.find(is_there).unwrap();
    let mut parts = cluster_with(&address);
    parts.claim("b", &address, 1);
    (parts, address)
}

fn checked(decision: &Decision) -> Vec<&str> {
    decision.checks.keys().map(|node| node.as_str()).collect()
}

#[test]
fn first_eligible_node_answers_for_an_owner_that_is_suspect_and_checks_it() {
    for (place, is_deputy) in [(0, true), (1, false)] {
        let (mut parts, address) = owned_by_b(place);
        assert!(decide(&mut parts).duties.is_empty(), "the owner is alive");
        parts.liveness.handle_suspicion(parts.now, &"b".into());
        let decision = decide(&mut parts);
        let duty = DeputyDuty {
            owner: "b".into(),
            ports: vec![(parts.port(), parts.mac("b"))],
        };
        let duties = BTreeMap::from_iter(is_deputy.then_some((ip(&address), duty)));
        assert_eq!(decision.duties, duties);
        assert_eq!(checked(&decision).len(), usize::from(is_deputy));
        assert!(decision.announce.is_empty());
    }
}

#[test]
fn second_eligible_node_checks_a_failed_owner_and_answers_nothing() {
    let (mut parts, _) = owned_by_b(1);
    parts.report_failed("b", "c");
    let decision = decide(&mut parts);
    assert_eq!(checked(&decision), ["b"]);
    assert!(decision.duties.is_empty());
    assert_eq!(
        recheck_after(&parts, &decision),
        Some(500),
        "the first eligible node has this long"
    );
}

#[test]
fn mode_decides_whether_a_deputy_answers() {
    for (mode, while_alive, while_suspect) in [
        (DeputyMode::OnSuspect, false, true),
        (DeputyMode::Always, true, true),
        (DeputyMode::Off, false, false),
    ] {
        let (mut parts, _) = owned_by_b(0);
        parts.context.settings.deputy = mode;
        let decision = decide(&mut parts);
        assert_eq!(!decision.duties.is_empty(), while_alive, "{mode}");
        assert!(decision.checks.is_empty());
        parts.liveness.handle_suspicion(parts.now, &"b".into());
        let decision = decide(&mut parts);
        assert_eq!(!decision.duties.is_empty(), while_suspect, "{mode}");
        assert_eq!(checked(&decision), ["b"]);
    }
}

#[test]
fn nobody_answers_for_a_tentative_address_or_while_shutting_down() {
    let (mut parts, address) = owned_by_b(0);
    let tentative = Claim {
        tentative: true,
        ..claim(&address, 2)
    };
    parts.claim_as("b", tentative, false);
    parts.liveness.handle_suspicion(parts.now, &"b".into());
    assert!(decide(&mut parts).duties.is_empty());

    let (mut parts, _) = owned_by_b(0);
    parts.liveness.handle_suspicion(parts.now, &"b".into());
    parts.context.shutdown = Some(crate::context::Shutdown { handover: false });
    assert!(decide(&mut parts).duties.is_empty());
}

#[test]
fn owner_that_is_down_is_reviewed_again_after_a_minute() {
    let (mut parts, _) = owned_by_b(0);
    parts.liveness.handle_leaving(parts.now, &"b".into(), false);
    parts.pass(1_000);
    let decision = decide(&mut parts);
    assert_eq!(recheck_after(&parts, &decision), Some(59_000));
    assert_eq!(decision.duties.len(), 1);
}

#[test]
fn deputies_of_a_node_are_the_next_eligible_nodes_of_its_addresses() {
    for (place, deputies) in [(0, vec![]), (1, vec!["c"])] {
        let (mut parts, _) = owned_by_b(place);
        let view = view!(parts, parts.now);
        let snapshot = parts.context.snapshot.as_ref().unwrap();
        let found = parts.ownership.find_deputies(view, snapshot, &"b".into());
        assert_eq!(found.iter().map(|node| node.as_str()).collect::<Vec<_>>(), deputies);
        let none = parts.ownership.find_deputies(view, snapshot, &"c".into());
        assert!(none.is_empty(), "`c` owns nothing");
    }
}

#[test]
fn only_a_confirmation_for_an_own_address_counts() {
    let mut parts = cluster();
    parts.claim("a", ADDRESS, 1);
    parts.claim("b", "192.0.2.2", 1);
    let addresses = [ip(ADDRESS), ip("192.0.2.2")];
    parts.ownership.handle_deputy_confirmation(&"a".into(), &addresses);
    assert_eq!(
        addresses.map(|address| parts.ownership.is_covered(address)),
        [true, false]
    );
}

#[test]
fn announcement_names_the_other_owners_of_the_same_service() {
    let mut parts = Parts::new(&["a", "b", "c"], &[ADDRESS, "192.0.2.2"]);
    for node in ["b", "c"] {
        parts.join(node);
    }
    parts.edit_snapshot(|snapshot| {
        let services = snapshot.addresses[&ip(ADDRESS)].clone();
        snapshot.addresses.insert(ip("192.0.2.2"), services);
    });
    parts.claim("a", ADDRESS, 1);
    parts.claim("b", "192.0.2.2", 1);
    let decision = decide(&mut parts);
    assert_eq!(decision.announce[&ip(ADDRESS)].owned.co_owners, ["b".into()].into());
}

#[test]
fn deputy_answers_where_the_owner_announces_not_where_it_would_itself() {
    for (mine, theirs, wanted) in [
        (&["eth1"][..], &[][..], &["eth0", "eth1"][..]),
        (&[], &["eth1"], &["eth1"]),
        (&["eth1"], &["eth0"], &["eth0"]),
    ] {
        let (mut parts, address) = owned_by_b(0);
        let interfaces = vec![
            ethernet(1, "eth0", &["172.16.0.201/24"]),
            ethernet(9, "eth1", &["172.16.1.201/24"]),
        ];
        parts.node.set_interfaces(interfaces);
        let networks = vec![
            network("eth0", parts.mac("b"), &["172.16.0.202/24"]),
            network("eth1", MacAddr::new(2, 0, 0, 0, 1, 2), &["172.16.1.202/24"]),
        ];
        parts.liveness.handle_networks(&"b".into(), networks);
        parts.edit_snapshot(|snapshot| {
            for (name, node) in &mut snapshot.nodes {
                node.labels.insert("name".to_owned(), name.to_string());
            }
            let advertisement = |node: &str, interfaces: &[&str]| {
                json!({"nodeSelectors": [{"matchLabels": {"name": node}}], "interfaces": interfaces})
            };
            snapshot.config = Arc::new(config(&[advertisement("a", mine), advertisement("b", theirs)]));
        });
        parts.liveness.handle_suspicion(parts.now, &"b".into());
        let decision = decide(&mut parts);
        let ports = &decision.duties[&ip(&address)].ports;
        let name = |port: &InterfacePort| {
            if port.index == InterfaceIndex(1) {
                "eth0"
            } else {
                "eth1"
            }
        };
        let names: Vec<_> = ports.iter().map(|(port, _)| name(port)).collect();
        assert_eq!(names, wanted, "{mine:?} {theirs:?}");
    }
}

#[test]
fn eligible_node_is_the_deputy_before_others_of_higher_rank() {
    for (excluded, is_deputy) in [(None, true), (Some("a"), false), (Some("c"), true)] {
        let (mut parts, address) = owned_by_b(0);
        excluded
            .into_iter()
            .for_each(|node| set_excluded(&mut parts, node, true));
        parts.report_failed("b", "c");
        let decision = decide(&mut parts);
        assert_eq!(decision.duties.contains_key(&ip(&address)), is_deputy, "{excluded:?}");
        assert_eq!(checked(&decision), ["b"], "the second deputy checks the owner too");
    }
}

#[test]
fn deputies_are_warned_although_they_are_not_eligible() {
    for (place, deputies) in [(0, vec![]), (1, vec!["c"])] {
        let (mut parts, _) = owned_by_b(place);
        ["a", "c"]
            .into_iter()
            .for_each(|node| set_excluded(&mut parts, node, true));
        let view = view!(parts, parts.now);
        let snapshot = parts.context.snapshot.as_ref().unwrap();
        let found = parts.ownership.find_deputies(view, snapshot, &"b".into());
        assert_eq!(found.iter().map(|node| node.as_str()).collect::<Vec<_>>(), deputies);
    }
}

#[test]
fn node_on_another_segment_is_no_deputy() {
    let (mut parts, address) = owned_by_b(0);
    parts
        .node
        .set_interfaces(vec![ethernet(1, "lan0", &["198.51.100.1/24"])]);
    parts.liveness.handle_suspicion(parts.now, &"b".into());
    assert!(decide(&mut parts).duties.is_empty());
    let view = view!(parts, parts.now);
    let snapshot = parts.context.snapshot.as_ref().unwrap();
    let found = parts.ownership.find_deputies(view, snapshot, &"b".into());
    assert_eq!(found, ["c".into()].into(), "{address}");
}

#[test]
fn no_event_says_that_no_node_is_eligible_while_a_deputy_answers() {
    for (mode, reports) in [(DeputyMode::OnSuspect, 0), (DeputyMode::Off, 1)] {
        let (mut parts, _) = owned_by_b(0);
        parts.context.settings.deputy = mode;
        ["a", "c"]
            .into_iter()
            .for_each(|node| set_excluded(&mut parts, node, true));
        parts.liveness.handle_leaving(parts.now, &"b".into(), false);
        decide(&mut parts);
        pass_alive(&mut parts, 2_000);
        parts.drain();
        decide(&mut parts);
        let events = parts.drain().events;
        assert_eq!(events.len(), reports, "{mode}: {events:?}");
    }
}
