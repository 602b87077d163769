//! Which node answers as the deputy of an owner that is away, and which checks it on the wire.

use super::*;
use crate::lan::DeputyDuty;

/// `b` owns an address for which this node comes at this place among the candidates other than `b`.
fn owned_by_b(place: usize) -> (Parts, String) {
    let mut addresses = (1..200).map(|host| format!("192.0.2.{host}"));
    let is_there = |address: &String| ranking::ranks_before(ip(address), "a", "c") == (place == 0);
    let address = addresses.find(is_there).unwrap();
    let mut parts = cluster_with(&address);
    parts.claim("b", &address, 1);
    (parts, address)
}

fn checked(decision: &Decision) -> Vec<&str> {
    decision.checks.iter().map(|node| &**node).collect()
}

#[test]
fn first_candidate_answers_for_an_owner_that_is_suspect_and_checks_it() {
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
fn second_candidate_checks_an_owner_that_has_failed_and_answers_nothing() {
    let (mut parts, _) = owned_by_b(1);
    parts.report_failed("b", "c");
    let decision = decide(&mut parts);
    assert_eq!(checked(&decision), ["b"]);
    assert!(decision.duties.is_empty());
    assert_eq!(
        recheck_after(&parts, &decision),
        Some(500),
        "the first candidate has this long"
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
fn deputies_of_a_node_are_the_first_other_candidates_of_its_addresses() {
    for (place, deputies) in [(0, vec![]), (1, vec!["c"])] {
        let (mut parts, _) = owned_by_b(place);
        let view = view!(parts, parts.now);
        let snapshot = parts.context.snapshot.as_ref().unwrap();
        let found = parts.ownership.deputies_of(view, snapshot, &"b".into());
        assert_eq!(found.iter().map(|node| &**node).collect::<Vec<_>>(), deputies);
        let none = parts.ownership.deputies_of(view, snapshot, &"c".into());
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
