//! How addresses go from one node to another: lingering, giving up, retransmission.

use super::*;

/// This node announces the address and is excluded then.
fn lingering() -> Parts {
    let mut parts = cluster();
    parts.claim("a", ADDRESS, 1);
    decide(&mut parts);
    set_excluded(&mut parts, "a", true);
    parts
}

fn announces(parts: &mut Parts) -> bool {
    let decision = decide(parts);
    decision.announce.contains_key(&ip(ADDRESS))
}

#[test]
fn ineligible_owner_announces_until_another_node_does_for_30_s_at_most() {
    let mut parts = lingering();
    let decision = decide(&mut parts);
    assert!(decision.announce.contains_key(&ip(ADDRESS)));
    let recheck = recheck_after(&parts, &decision);
    assert_eq!(recheck, Some(30_000));
    pass_alive(&mut parts, 29_999);
    assert!(announces(&mut parts));
    pass_alive(&mut parts, 1);
    assert!(!announces(&mut parts));

    let mut parts = lingering();
    assert!(announces(&mut parts));
    parts.claim("b", ADDRESS, 2);
    assert!(!announces(&mut parts), "another node announces it");
}

#[test]
fn owner_does_not_linger_without_an_interface_or_another_eligible_node() {
    let mut parts = lingering();
    for node in ["b", "c"] {
        parts.edit_snapshot(|snapshot| snapshot.nodes.get_mut(node).unwrap().network_unavailable = true);
    }
    assert!(!announces(&mut parts), "no other node is eligible");

    let mut parts = lingering();
    set_excluded(&mut parts, "a", false);
    parts.node.set_interfaces(vec![]);
    parts.ownership.invalidate_verdicts();
    assert!(!announces(&mut parts), "there is no interface");
}

#[test]
fn lingering_begins_again_after_the_node_was_eligible() {
    let mut parts = lingering();
    assert!(announces(&mut parts));
    pass_alive(&mut parts, 20_000);
    set_excluded(&mut parts, "a", false);
    assert!(announces(&mut parts));
    set_excluded(&mut parts, "a", true);
    assert!(announces(&mut parts));
    pass_alive(&mut parts, 20_000);
    assert!(announces(&mut parts));
}

#[test]
fn lost_address_is_yielded_to_its_new_owner_or_else_released() {
    for (new_owner, mode, wanted) in [
        (None, DeputyMode::OnSuspect, vec![("b", released()), ("c", released())]),
        (Some("b"), DeputyMode::OnSuspect, vec![("b", yielded())]),
        // A deputy that always answers has to learn the new owner as well.
        (
            Some("b"),
            DeputyMode::Always,
            vec![("b", relayed()), ("c", relayed()), ("b", yielded())],
        ),
    ] {
        let mut parts = cluster();
        parts.context.settings.deputy = mode;
        parts.claim("a", ADDRESS, 1);
        decide(&mut parts);
        if let Some(node) = new_owner {
            parts.claim(node, ADDRESS, 2);
        }
        parts.drain();
        parts.ownership.give_up(turn!(parts, parts.now), &[ip(ADDRESS)]);
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|(node, message)| (node.to_owned(), message))
            .collect();
        assert_eq!(parts.drain().messages, wanted);
        let is_released = parts.ownership.claims.get(ip(ADDRESS)).unwrap().released;
        assert_eq!(is_released, new_owner.is_none());
    }
}

fn released() -> Message {
    Message::Released(vec![claim(ADDRESS, 1)])
}

fn yielded() -> Message {
    Message::Yielded(vec![ip(ADDRESS)])
}

fn relayed() -> Message {
    Message::RelayedClaims(vec![("b".into(), claim(ADDRESS, 2))])
}

#[test]
fn giving_up_forgets_takeover_retransmission_and_deputy() {
    let mut parts = cluster();
    let gained = take_from_b(&mut parts, ADDRESS);
    parts.ownership.publish(turn!(parts, parts.now), &gained);
    parts.ownership.handle_deputy_confirmation(&"a".into(), &[ip(ADDRESS)]);
    assert!(parts.ownership.is_covered(ip(ADDRESS)));
    parts.ownership.give_up(turn!(parts, parts.now), &[ip(ADDRESS)]);
    assert!(!parts.ownership.is_covered(ip(ADDRESS)) && cause(&parts).is_none());
    assert!(parts.ownership.addresses[&ip(ADDRESS)].unacknowledged.is_none());
}

/// Retransmits for two seconds. Returns the receivers at each time, in milliseconds.
fn retransmitted(parts: &mut Parts) -> Vec<(u128, Vec<String>)> {
    let start = parts.now;
    let mut sent = Vec::new();
    while let Some(due) = parts.sinks.timers.get(Timer::Retransmission) {
        parts.now = due;
        parts.ownership.retransmit_claims(turn!(parts, parts.now));
        let claims = vec![claim(ADDRESS, 2)];
        let message = Message::Claims { claims, last: false };
        let to = parts.drain();
        let to = to.receivers_of(&message).iter().map(ToString::to_string).collect();
        sent.push(((due - start).as_millis(), to));
    }
    sent
}

/// This node has taken the address from `b` and published that.
fn published(mode: DeputyMode) -> Parts {
    let mut parts = cluster();
    parts.context.settings.deputy = mode;
    let gained = take_from_b(&mut parts, ADDRESS);
    parts.ownership.publish(turn!(parts, parts.now), &gained);
    let message = Message::Claims {
        claims: gained,
        last: false,
    };
    assert_eq!(parts.drain().receivers_of(&message), ["b", "c"]);
    parts
}

#[test]
fn claim_is_retransmitted_to_the_previous_owner_five_times() {
    let mut parts = published(DeputyMode::OnSuspect);
    let to_b = |after| (after, vec!["b".to_owned()]);
    assert_eq!(retransmitted(&mut parts), [100, 200, 300, 400, 500].map(to_b));
}

#[test]
fn retransmission_ends_when_the_previous_owner_yields() {
    let mut parts = published(DeputyMode::OnSuspect);
    let timer = |parts: &Parts| parts.sinks.timers.get(Timer::Retransmission).is_some();
    parts
        .ownership
        .handle_yielded(turn!(parts, parts.now), &"c".into(), &[ip(ADDRESS)]);
    assert!(timer(&parts), "another node may have owned it as well");
    parts
        .ownership
        .handle_yielded(turn!(parts, parts.now), &"b".into(), &[ip(ADDRESS)]);
    assert!(!timer(&parts));
}

#[test]
fn always_on_deputies_get_each_retransmission_and_two_after_the_yield() {
    let mut parts = published(DeputyMode::Always);
    parts
        .ownership
        .handle_yielded(turn!(parts, parts.now), &"b".into(), &[ip(ADDRESS)]);
    let to_all = |after| (after, vec!["b".to_owned(), "c".to_owned()]);
    assert_eq!(retransmitted(&mut parts), [100, 200].map(to_all));
    let mut parts = published(DeputyMode::Always);
    assert_eq!(retransmitted(&mut parts), [100, 200, 300, 400, 500].map(to_all));
}

#[test]
fn claim_to_an_unowned_address_is_not_retransmitted() {
    let mut parts = cluster_with(&address_where_a_ranks(0));
    decide(&mut parts);
    let gained = parts.ownership.own_claims(&"a".into(), |_| true);
    assert_eq!(gained.len(), 1);
    parts.ownership.publish(turn!(parts, parts.now), &gained);
    assert_eq!(parts.sinks.timers.get(Timer::Retransmission), None);
}

#[test]
fn takeover_is_reported_with_its_cause_and_the_former_owner() {
    let mut parts = cluster();
    let gained = take_from_b(&mut parts, ADDRESS);
    decide(&mut parts);
    parts.drain();
    parts
        .ownership
        .report_taken(turn!(parts, parts.now), &gained, &parts.lan);
    let event = Event::OwnershipTaken {
        address: ip(ADDRESS),
        to: "a".into(),
        services: parts.announcement(ADDRESS).owned.services,
        from: Some("b".into()),
        cause: OwnershipCause::NodeDown,
    };
    assert_eq!(parts.drain().events, [event]);
    assert_eq!(parts.sinks.stats.acquisitions, [("node-down", 1)].into());
}

#[test]
fn cleared_address_is_confirmed_to_all_nodes_once() {
    let mut parts = cluster();
    let tentative = Claim {
        tentative: true,
        ..claim(ADDRESS, 1)
    };
    parts.claim_as("a", tentative, false);
    for confirmed in [vec!["b", "c"], vec![]] {
        parts.ownership.confirm(turn!(parts, parts.now), &[ip(ADDRESS)]);
        let claims = vec![claim(ADDRESS, 1)];
        let message = Message::Claims { claims, last: false };
        assert_eq!(parts.drain().receivers_of(&message), confirmed);
    }
}

#[test]
fn own_claim_to_an_address_that_is_no_longer_used_is_remembered() {
    let mut parts = cluster();
    parts.claim("a", ADDRESS, 1);
    parts.claim("b", "192.0.2.2", 1);
    parts.edit_snapshot(|snapshot| snapshot.addresses.clear());
    let own = parts.ownership.claims.get(ip(ADDRESS)).unwrap();
    assert!(
        own.is_from_earlier_use_by(&"a".into()),
        "the other nodes remember it too"
    );
    assert_eq!(
        claimed_by(&parts, "192.0.2.2"),
        "b",
        "another node may know the Service before"
    );
    pass_alive(&mut parts, 60_000);
    parts.edit_snapshot(|_| {});
    assert_eq!(claimed_by(&parts, "192.0.2.2"), "");
}
