use super::*;
use crate::{
    borrow::{full_state, turn},
    liveness::peers::Path,
    test_support::{Parts, claim, ip},
    wire::message::Message,
};

/// This node owns and announces this many addresses, from 10.1.0.1 on.
fn owning(count: u8) -> Parts {
    let addresses: Vec<String> = (1..=count).map(|host| format!("10.1.0.{host}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut parts = Parts::new(&["a", "b", "c", "d"], &addresses);
    for address in &addresses {
        parts.claim("a", address, 1);
    }
    let wanted = addresses
        .iter()
        .map(|address| (ip(address), parts.announcement(address)));
    let wanted = wanted.collect();
    parts.lan.set_owned(turn!(parts, parts.now), wanted, []);
    parts
}

/// The messages that `node` receives when it appears, by kind.
fn welcomed(parts: &mut Parts, node: &str, restarted: bool) -> Vec<Message> {
    welcome(turn!(parts, parts.now), &node.into(), restarted, full_state!(parts));
    let messages = parts.drain().messages;
    assert!(messages.iter().all(|(to, _)| to == node));
    messages.into_iter().map(|(_, message)| message).collect()
}

#[test]
fn listening_ends_after_a_second_at_the_latest() {
    let start = crate::testing::start();
    let mut sync = StateSync::default();
    assert_eq!(sync.begin_listening(start), start + LISTEN);
    let later = start + Duration::from_millis(700);
    assert_eq!(sync.begin_listening(later), start + Duration::from_secs(1));
}

#[test]
fn listening_is_complete_once_all_others_have_answered_and_sent_hello() {
    let mut parts = Parts::new(&["a", "b", "c"], &[]);
    let snapshot = parts.context.snapshot.clone().unwrap();
    let mut sync = StateSync::default();
    let is_complete =
        |parts: &Parts, sync: &StateSync| sync.is_complete(&parts.context, &snapshot, parts.liveness.peers());
    sync.note_answer("b".into());
    sync.note_answer("c".into());
    parts.join("b");
    parts.hear("c", Path::Node);
    assert!(!is_complete(&parts, &sync), "the Hello of `c` is missing");
    parts.join("c");
    assert!(is_complete(&parts, &sync));
    sync.retain(|node| node.as_str() != "c");
    assert!(!is_complete(&parts, &sync), "the answer of `c` is missing");
}

#[test]
fn full_state_goes_to_one_peer_after_the_other_within_a_cycle() {
    let mut parts = owning(1);
    let mut sync = StateSync::default();
    let cycle = Duration::from_secs(3);
    for node in ["b", "c", "d", "b"] {
        sync.resync_next(turn!(parts, parts.now), cycle, full_state!(parts));
        let hello = Message::Hello(parts.node.networks());
        let claims = Message::Claims {
            claims: vec![claim("10.1.0.1", 1)],
            last: true,
        };
        let sent = [hello, claims].map(|message| (node.to_owned(), message));
        assert_eq!(parts.drain().messages, sent);
        let due = parts.now + Duration::from_secs(1);
        assert_eq!(parts.sinks.timers.get(Timer::AntiEntropy), Some(due));
        parts.now = due;
    }
}

#[test]
fn resync_says_nothing_of_claims_while_listening() {
    let mut parts = owning(1);
    parts.context.listening = true;
    let mut sync = StateSync::default();
    sync.resync_next(turn!(parts, parts.now), Duration::from_secs(3), full_state!(parts));
    assert!(matches!(&parts.drain().messages[..], [(_, Message::Hello(_))]));
}

#[test]
fn resync_is_armed_in_a_cluster_of_one_node_and_of_very_many() {
    let mut parts = Parts::new(&["a"], &[]);
    let mut sync = StateSync::default();
    sync.resync_next(turn!(parts, parts.now), Duration::from_secs(3), full_state!(parts));
    assert_eq!(
        parts.sinks.timers.get(Timer::AntiEntropy),
        Some(parts.now + Duration::from_secs(3))
    );
    let mut parts = Parts::new(&["a", "b", "c"], &[]);
    sync.resync_next(turn!(parts, parts.now), Duration::ZERO, full_state!(parts));
    assert_eq!(
        parts.sinks.timers.get(Timer::AntiEntropy),
        Some(parts.now + SHORTEST_STEP)
    );
}

#[test]
fn listening_node_sends_a_newcomer_its_former_claims_only() {
    let mut parts = owning(1);
    parts.claim("b", "10.1.0.9", 3);
    parts.context.listening = true;
    let messages = welcomed(&mut parts, "b", true);
    assert!(matches!(messages[0], Message::Hello(_)));
    let wanted = [Message::YourClaims(vec![claim("10.1.0.9", 3)]), Message::Listening];
    assert_eq!(messages[1..], wanted);
}

#[test]
fn claims_of_absent_peers_are_relayed_only_after_a_restart() {
    let mut parts = owning(1);
    for node in ["b", "c", "d"] {
        parts.join(node);
    }
    parts.claim("c", "10.1.0.3", 1);
    parts.claim("d", "10.1.0.4", 1);
    parts.report_failed("c", "d");
    let own = Message::Claims {
        claims: vec![claim("10.1.0.1", 1)],
        last: true,
    };
    let of_c = Message::RelayedClaims(vec![("c".into(), claim("10.1.0.3", 1))]);
    assert_eq!(welcomed(&mut parts, "b", true)[1..], [of_c, own.clone()]);
    assert_eq!(welcomed(&mut parts, "b", false)[1..], [own]);
}

#[test]
fn peer_that_has_not_sent_its_claims_yet_counts_as_absent() {
    let mut parts = owning(0);
    parts.claim("c", "10.1.0.3", 1);
    parts.hear("c", Path::Node);
    let messages = welcomed(&mut parts, "b", true);
    assert!(
        messages
            .iter()
            .any(|message| matches!(message, Message::RelayedClaims(_)))
    );
    parts.join("c");
    let messages = welcomed(&mut parts, "b", true);
    assert!(
        !messages
            .iter()
            .any(|message| matches!(message, Message::RelayedClaims(_)))
    );
}

#[test]
fn many_claims_of_absent_peers_take_several_messages() {
    let mut parts = owning(0);
    for host in 0..30 {
        parts.claim("c", &format!("10.1.0.{host}"), 1);
    }
    let relayed = welcomed(&mut parts, "b", true)
        .into_iter()
        .filter_map(|message| match message {
            Message::RelayedClaims(claims) => Some(claims.len()),
            _ => None,
        });
    assert_eq!(Vec::from_iter(relayed), [12, 12, 6]);
}

#[test]
fn full_list_of_claims_ends_with_a_message_marked_as_the_last() {
    for (count, wanted) in [
        (0, vec![(0, true)]),
        (44, vec![(44, true)]),
        (45, vec![(44, false), (1, true)]),
    ] {
        let parts = owning(count);
        let messages = own_claims_messages(&parts.context, full_state!(parts));
        let sizes = messages.iter().map(|message| match message {
            Message::Claims { claims, last } => (claims.len(), *last),
            other => panic!("{other:?}"),
        });
        assert_eq!(Vec::from_iter(sizes), wanted);
    }
}

#[test]
fn claim_to_an_address_that_is_not_announced_is_left_out() {
    let mut parts = owning(1);
    parts.claim("a", "10.1.0.2", 1);
    let claims = vec![claim("10.1.0.1", 1)];
    let wanted = [Message::Claims { claims, last: true }];
    assert_eq!(own_claims_messages(&parts.context, full_state!(parts)), wanted);
}
