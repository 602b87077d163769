//! The owner of an address, by its claim and by what is known of the claimant.

use super::{super::case::Owner, *};
use crate::{ineligibility::IneligibilityReason, liveness::reachability::ReachabilityCheck};

/// What is known of `b`, which claims the address, in each row of the tables.
type Setup = fn(&mut Parts);

fn owner(parts: &mut Parts) -> Owner {
    let view = view!(parts, parts.now);
    let all = parts
        .ownership
        .refresh_verdicts(view, parts.context.snapshot.as_ref().unwrap());
    let verdicts = verdicts_on(&all, ip(ADDRESS)).unwrap();
    parts.ownership.owner(view, ip(ADDRESS), verdicts)
}

/// The owner in a situation, after `b` has claimed the address.
fn owner_when(situations: &[Setup]) -> Owner {
    let mut parts = cluster();
    parts.claim("b", ADDRESS, 1);
    for situation in situations {
        situation(&mut parts);
    }
    owner(&mut parts)
}

fn suspect(parts: &mut Parts) {
    parts.liveness.handle_suspicion(parts.now, &"b".into());
}

fn failed(parts: &mut Parts) {
    parts.report_failed("b", "c");
}

fn leaving(parts: &mut Parts) {
    parts.liveness.handle_leaving(parts.now, &"b".into(), false);
}

fn leaving_with_handover(parts: &mut Parts) {
    parts.liveness.handle_leaving(parts.now, &"b".into(), true);
}

fn restarted(parts: &mut Parts) {
    let arrival = crate::liveness::peers::Arrival {
        address: ip("10.0.0.2"),
        path: crate::liveness::peers::Path::Node,
        boot: crate::types::BootId(2),
        sequence: 1,
    };
    parts.liveness.handle_arrival(parts.now, &"b".into(), &arrival);
}

fn released(parts: &mut Parts) {
    let turn = turn!(parts, parts.now);
    parts.ownership.handle_release(turn, &"b".into(), claim(ADDRESS, 1));
}

fn excluded(parts: &mut Parts) {
    set_excluded(parts, "b", true);
}

fn without_deputies(parts: &mut Parts) {
    parts.context.settings.deputy = DeputyMode::Off;
}

fn almost_a_minute_later(parts: &mut Parts) {
    pass_others(parts, 59_999);
}

fn a_moment_later(parts: &mut Parts) {
    pass_others(parts, 1);
}

/// Lets time pass in which `c` stays alive, and `b` repeats nothing.
fn pass_others(parts: &mut Parts, milliseconds: u64) {
    parts.pass(milliseconds);
    parts.hear("c", crate::liveness::peers::Path::Node);
}

/// A reachability check of `b` whose twenty rounds got these answers.
fn checked(parts: &mut Parts, node_answers: bool, speaker_answers: bool) {
    let mut check = ReachabilityCheck::new(parts.now);
    for _ in 0..20 {
        check.note_asked(parts.now);
        if node_answers {
            check.note_node_answered();
        }
        if speaker_answers {
            check.note_speaker_answered();
        }
    }
    let around = surroundings!(parts);
    let targets = [("b".into(), [("eth0".to_owned(), [ip(ADDRESS)].into())].into())].into();
    parts.liveness.set_checks(turn!(parts, parts.now), around, &targets);
    parts.liveness.replace_check(&"b".into(), &check);
}

fn speaker_answers(parts: &mut Parts) {
    checked(parts, true, true);
}

fn only_the_node_answers(parts: &mut Parts) {
    checked(parts, true, false);
}

fn nothing_answers(parts: &mut Parts) {
    checked(parts, false, false);
}

fn present() -> Owner {
    Owner::Present("b".into())
}

fn away() -> Owner {
    Owner::Away("b".into())
}

#[test]
fn owner_follows_from_the_claim() {
    assert_eq!(owner(&mut cluster()), Owner::Unowned(OwnershipCause::New));
    assert_eq!(owner_when(&[]), present());
    assert_eq!(owner_when(&[released]), Owner::Unowned(OwnershipCause::Unclaimed));
    let ineligible = OwnershipCause::Ineligible(IneligibilityReason::ExcludedByLabel);
    assert_eq!(owner_when(&[excluded]), Owner::Unowned(ineligible));
    let mut parts = cluster();
    parts.claim("a", ADDRESS, 1);
    assert_eq!(owner(&mut parts), Owner::Present("a".into()), "this node");
}

#[test]
fn owner_follows_from_phase_and_reachability() {
    let wire: [Option<Setup>; 4] = [
        None,
        Some(speaker_answers),
        Some(only_the_node_answers),
        Some(nothing_answers),
    ];
    let node_down = Owner::Unowned(OwnershipCause::NodeDown);
    let phases: [(&[Setup], [Owner; 4]); 5] = [
        (&[], [present(), present(), present(), present()]),
        (&[suspect], [away(), away(), away(), away()]),
        (&[failed], [away(), present(), away(), node_down]),
        (&[leaving], [away(), away(), away(), away()]),
        (&[restarted], [away(), present(), away(), away()]),
    ];
    for (number, (phase, owners)) in phases.into_iter().enumerate() {
        for (wire, wanted) in wire.into_iter().zip(owners) {
            let situations: Vec<Setup> = phase.iter().copied().chain(wire).collect();
            assert_eq!(owner_when(&situations), wanted, "phase {number}, {wire:?}");
        }
    }
}

#[test]
fn speaker_that_is_down_keeps_its_addresses_for_a_minute() {
    let down = Owner::Unowned(OwnershipCause::SpeakerDown);
    for cause in [failed as Setup, leaving] {
        assert_eq!(owner_when(&[cause, almost_a_minute_later]), away());
        assert_eq!(owner_when(&[cause, almost_a_minute_later, a_moment_later]), down);
    }
}

#[test]
fn p2_setting_says_how_long_a_speaker_that_is_down_keeps_its_addresses() {
    let owner_after = |limit: Duration, milliseconds, situations: &[Setup]| {
        let mut parts = cluster();
        parts.context.settings.speaker_down_limit = limit;
        parts.claim("b", ADDRESS, 1);
        situations.iter().for_each(|situation| situation(&mut parts));
        pass_others(&mut parts, milliseconds);
        owner(&mut parts)
    };
    let down = || Owner::Unowned(OwnershipCause::SpeakerDown);
    let (five, ten_minutes) = (Duration::from_secs(5), Duration::from_secs(600));
    let known: [&[Setup]; 3] = [&[failed, only_the_node_answers], &[leaving], &[leaving, failed]];
    for situations in known {
        assert_eq!(owner_after(Duration::ZERO, 0, situations), down());
        assert_eq!(owner_after(five, 4_999, situations), away());
        assert_eq!(owner_after(five, 5_000, situations), down());
        assert_eq!(owner_after(ten_minutes, 599_999, situations), away());
        assert_eq!(owner_after(ten_minutes, 600_000, situations), down());
        assert_eq!(owner_after(Duration::MAX, 3_600_000, situations), away());
    }
    // Nothing shows yet whether the node lives: a hasty takeover could make two owners.
    for limit in [Duration::ZERO, five] {
        assert_eq!(owner_after(limit, 59_999, &[failed]), away());
        assert_eq!(owner_after(limit, 60_000, &[failed]), down());
    }
}

#[test]
fn without_deputies_a_speaker_that_is_down_loses_its_addresses_at_once() {
    let down = Owner::Unowned(OwnershipCause::SpeakerDown);
    assert_eq!(owner_when(&[without_deputies, failed, only_the_node_answers]), down);
    assert_eq!(owner_when(&[without_deputies, failed]), away());
    assert_eq!(owner_when(&[without_deputies, leaving, only_the_node_answers]), away());
}

#[test]
fn owner_that_hands_over_owns_nothing_in_any_phase() {
    let handed_over = Owner::Unowned(OwnershipCause::HandedOver);
    for phase in [&[][..], &[suspect as Setup], &[failed], &[failed, speaker_answers]] {
        let situations: Vec<Setup> = phase.iter().copied().chain([leaving_with_handover as Setup]).collect();
        assert_eq!(owner_when(&situations), handed_over);
    }
}

#[test]
fn claim_that_is_not_repeated_for_thirty_cycles_is_void() {
    let mut parts = cluster();
    parts.claim("b", ADDRESS, 1);
    pass_alive(&mut parts, 59_999);
    assert_eq!(owner(&mut parts), present());
    pass_alive(&mut parts, 1);
    assert_eq!(owner(&mut parts), Owner::Unowned(OwnershipCause::Unclaimed));
    parts.claim("b", ADDRESS, 1);
    assert_eq!(owner(&mut parts), present());
}

#[test]
fn relayed_claim_keeps_an_owner_that_this_node_does_not_hear() {
    for (relayed, wanted) in [
        (true, Owner::Present("d".into())),
        (false, Owner::Unowned(OwnershipCause::NodeDown)),
    ] {
        let mut parts = cluster();
        parts.edit_snapshot(|snapshot| {
            snapshot
                .nodes
                .insert("d".into(), crate::cluster_snapshot::Node::default());
        });
        parts.claim_as("d", claim(ADDRESS, 1), relayed);
        assert_eq!(owner(&mut parts), wanted);
        pass_alive(&mut parts, 60_000);
        assert_eq!(owner(&mut parts), Owner::Unowned(OwnershipCause::NodeDown), "stale");
    }
}

#[test]
fn claim_relayed_after_the_failure_keeps_the_owner() {
    let mut parts = cluster();
    parts.claim("b", ADDRESS, 1);
    parts.claim_as("b", claim(ADDRESS, 1), true);
    failed(&mut parts);
    nothing_answers(&mut parts);
    assert_eq!(
        owner(&mut parts),
        Owner::Unowned(OwnershipCause::NodeDown),
        "relayed before it failed"
    );
    parts.pass(1);
    parts.claim_as("b", claim(ADDRESS, 1), true);
    assert_eq!(owner(&mut parts), present());
}
