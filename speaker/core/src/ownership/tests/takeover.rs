//! Who takes an address that has an owner.

use super::*;

#[test]
fn preferred_node_takes_over_after_ten_seconds() {
    for tentative in [false, true] {
        let mut parts = cluster();
        prefer_a(&mut parts);
        let claim = Claim {
            tentative,
            ..claim(ADDRESS, 1)
        };
        parts.claim_as("b", claim, false);
        let decision = decide(&mut parts);
        assert_eq!(recheck_after(&parts, &decision), Some(10_000));
        pass_alive(&mut parts, 9_999);
        decide(&mut parts);
        assert_eq!(claimed_by(&parts, ADDRESS), "b");
        pass_alive(&mut parts, 1);
        let decision = decide(&mut parts);
        assert_eq!(
            (claimed_by(&parts, ADDRESS).as_str(), cause(&parts)),
            ("a", Some(OwnershipCause::Preferred))
        );
        assert!(decision.announce.contains_key(&ip(ADDRESS)));
        let record = parts.ownership.claims.get(ip(ADDRESS)).unwrap();
        assert_eq!(
            record.tentative, tentative,
            "the takeover leaves the claim tentative or not"
        );
    }
}

#[test]
fn ten_seconds_begin_again_when_the_preference_was_interrupted() {
    let mut parts = cluster();
    parts.claim("b", ADDRESS, 1);
    prefer_a(&mut parts);
    decide(&mut parts);
    pass_alive(&mut parts, 5_000);
    set_excluded(&mut parts, "a", true);
    decide(&mut parts);
    prefer_a(&mut parts);
    set_excluded(&mut parts, "a", false);
    prefer_a(&mut parts);
    pass_alive(&mut parts, 5_000);
    let decision = decide(&mut parts);
    assert_eq!(claimed_by(&parts, ADDRESS), "b");
    assert_eq!(recheck_after(&parts, &decision), Some(10_000));
}

#[test]
fn first_node_by_hash_takes_over_in_hash_mode_only() {
    for (mode, place, owner) in [
        (OwnershipMode::Hash, 0, "a"),
        (OwnershipMode::Hash, 1, "b"),
        (OwnershipMode::Sticky, 0, "b"),
    ] {
        let address = address_where_a_ranks(place);
        let mut parts = cluster_with(&address);
        parts.context.settings.ownership = mode;
        parts.claim("b", &address, 1);
        decide(&mut parts);
        pass_alive(&mut parts, 10_000);
        decide(&mut parts);
        assert_eq!(claimed_by(&parts, &address), owner, "{mode}, place {place}");
        let cause = parts.ownership.taken(ip(&address)).map(|taken| taken.cause);
        assert_eq!(cause, (owner == "a").then_some(OwnershipCause::Hash));
    }
}

/// Nodes that disagree: to this one, `b` is ineligible, and yet `b` has taken the address from it.
fn contended() -> Parts {
    let mut parts = cluster_with(&address_where_a_ranks(0));
    set_excluded(&mut parts, "b", true);
    parts
}

#[test]
fn contending_node_waits_twice_as_long_each_time() {
    let address = address_where_a_ranks(0);
    let mut parts = contended();
    decide(&mut parts);
    assert_eq!(claimed_by(&parts, &address), "a");
    for (epoch, wait) in [(2, 1_000), (4, 2_000), (6, 4_000)] {
        parts.claim("b", &address, epoch);
        let decision = decide(&mut parts);
        assert_eq!(recheck_after(&parts, &decision), Some(wait.into()));
        pass_alive(&mut parts, wait - 1);
        decide(&mut parts);
        assert_eq!(claimed_by(&parts, &address), "b");
        pass_alive(&mut parts, 1);
        decide(&mut parts);
        assert_eq!(claimed_by(&parts, &address), "a");
    }
}

#[test]
fn back_off_is_limited_and_resets_after_two_minutes() {
    let address = address_where_a_ranks(0);
    let mut parts = contended();
    let mut epoch = 0;
    // The node that this one contends with takes the address again as soon as it has lost it.
    let mut lose = |parts: &mut Parts| {
        parts.claim("a", &address, epoch + 1);
        parts.claim("b", &address, epoch + 2);
        epoch += 2;
        let decision = decide(parts);
        recheck_after(parts, &decision)
    };
    let waits: Vec<_> = (0..10).map(|_| lose(&mut parts).unwrap()).collect();
    assert_eq!(waits[..3], [1_000, 2_000, 4_000]);
    assert_eq!(waits[7..], [128_000; 3]);
    pass_alive(&mut parts, 120_001);
    assert_eq!(lose(&mut parts), Some(1_000));
}

#[test]
fn owner_that_both_nodes_consider_eligible_causes_no_contention() {
    let address = address_where_a_ranks(0);
    let mut parts = cluster_with(&address);
    decide(&mut parts);
    parts.claim("b", &address, 2);
    assert!(parts.ownership.addresses[&ip(&address)].contention.is_none());
    assert!(parts.sinks.timers.get(Timer::OwnershipReview).is_some());
    set_excluded(&mut parts, "b", true);
    decide(&mut parts);
    assert_eq!(claimed_by(&parts, &address), "a", "it takes the address at once");
}

#[test]
fn preferred_node_that_others_do_not_hear_takes_nothing_over() {
    let mut parts = cluster();
    parts.claim("b", ADDRESS, 1);
    prefer_a(&mut parts);
    decide(&mut parts);
    pass_alive(&mut parts, 9_000);
    parts.ownership.restart_stability();
    decide(&mut parts);
    pass_alive(&mut parts, 9_999);
    decide(&mut parts);
    assert_eq!(claimed_by(&parts, ADDRESS), "b");
    pass_alive(&mut parts, 1);
    decide(&mut parts);
    assert_eq!(claimed_by(&parts, ADDRESS), "a");
}
