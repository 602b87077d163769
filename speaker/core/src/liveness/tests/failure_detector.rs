use super::*;

/// Watches `b`, which then falls silent, until it has failed.
fn failed_peer() -> Parts {
    let mut parts = Parts::new(&["a", "b", "c"], &[]);
    parts.beat("b", Path::Node);
    review(&mut parts, "b");
    parts.pass(200);
    parts.drain();
    parts
}

fn failed(node: &str) -> Message {
    Message::Failed {
        node: node.into(),
        lan_only: false,
    }
}

fn send_notices(parts: &mut Parts) {
    let around = surroundings!(parts);
    parts.liveness.send_failure_notices(turn!(parts, parts.now), around);
}

#[test]
fn silent_peer_is_suspect_then_failed_and_each_is_reported_once() {
    let mut parts = Parts::new(&["a", "b", "c"], &[]);
    parts.beat("b", Path::Node);
    review(&mut parts, "b");
    let peer_event = |failed| Event::PeerPhaseChanged {
        node: "b".into(),
        failed,
    };
    for (wait, suspects, failures, events, notices) in [
        (74, 0, 0, vec![], 0),
        (1, 1, 0, vec![], 0),
        (0, 1, 0, vec![], 0),
        (124, 1, 0, vec![], 0),
        (1, 1, 1, vec![peer_event(true)], 2),
        (0, 1, 1, vec![], 0),
    ] {
        parts.pass(wait);
        assert_eq!(review(&mut parts, "b"), Review::Done);
        let drained = parts.drain();
        assert_eq!(
            (parts.sinks.stats.suspects, parts.sinks.stats.failures),
            (suspects, failures)
        );
        assert_eq!(drained.events, events);
        assert_eq!(drained.receivers_of(&failed("b")).len(), notices);
    }
    parts.beat("b", Path::Node);
    review(&mut parts, "b");
    let drained = parts.drain();
    assert_eq!(drained.events, [peer_event(false)]);
    assert_eq!(drained.receivers_of(&Message::Recovered("b".into())), ["b", "c"]);
}

#[test]
fn change_of_phase_requests_a_review_of_ownership() {
    let mut parts = Parts::new(&["a", "b", "c"], &[]);
    parts.beat("b", Path::Node);
    review(&mut parts, "b");
    for (wait, is_requested) in [(50, false), (25, true), (50, false), (75, true)] {
        parts.sinks.timers.set(Timer::OwnershipReview, None);
        parts.pass(wait);
        review(&mut parts, "b");
        assert_eq!(parts.sinks.timers.get(Timer::OwnershipReview).is_some(), is_requested);
    }
}

#[test]
fn failure_is_broadcast_three_times_in_all() {
    let mut parts = failed_peer();
    review(&mut parts, "b");
    assert_eq!(parts.drain().receivers_of(&failed("b")), ["b", "c"]);
    for (wait, notices) in [(99, 0), (1, 2), (100, 2), (100, 0), (10_000, 0)] {
        parts.pass(wait);
        send_notices(&mut parts);
        assert_eq!(parts.drain().receivers_of(&failed("b")).len(), notices);
    }
}

#[test]
fn failure_notice_ends_when_the_peer_is_heard() {
    let mut parts = failed_peer();
    review(&mut parts, "b");
    parts.beat("b", Path::Node);
    review(&mut parts, "b");
    parts.drain();
    parts.pass(100);
    send_notices(&mut parts);
    assert!(parts.drain().messages.is_empty());
}

#[test]
fn failure_on_one_network_is_repeated_every_second_while_it_lasts() {
    let mut parts = super::view::facing(&[("eth0", "10.0.0.2/24"), ("lan0", "172.16.0.2/24")]);
    super::view::hear_mac(&mut parts, 2, "b");
    let segment = Path::Segment(crate::types::InterfaceIndex(2));
    parts.beat("b", segment);
    let mut notices = Vec::new();
    for step in 0..70 {
        // `b` is heard on the node network all the time, and again on its LAN after 3 s.
        parts.beat("b", Path::Node);
        if step >= 60 {
            parts.beat("b", segment);
        }
        review(&mut parts, "b");
        send_notices(&mut parts);
        let notice = Message::FailedOn {
            node: "b".into(),
            networks: ["lan0".to_owned()].into(),
        };
        if parts.drain().receivers_of(&notice) == ["b", "c"] {
            notices.push(step * 50);
        }
        parts.pass(50);
    }
    assert_eq!(notices, [200, 300, 400, 1400, 2400]);
}

#[test]
fn next_review_is_due_when_a_peer_may_change_or_a_notice_is_due() {
    let mut parts = Parts::new(&["a", "b", "c"], &[]);
    parts.beat("b", Path::Node);
    let start = parts.now;
    for (at, due) in [
        (0, Some(75)),
        (75, Some(200)),
        (200, Some(300)),
        (300, Some(400)),
        (400, None),
    ] {
        parts.now = start + Duration::from_millis(at);
        review(&mut parts, "b");
        send_notices(&mut parts);
        parts.liveness.arm_failure_detection(turn!(parts, parts.now));
        let due = due.map(|due| start + Duration::from_millis(due));
        assert_eq!(parts.sinks.timers.get(Timer::FailureDetection), due, "after {at} ms");
    }
}

#[test]
fn only_a_node_that_knows_before_the_deputies_warns_them() {
    let mut parts = Parts::new(&["a", "b", "c"], &[]);
    parts.beat("b", Path::Node);
    review(&mut parts, "b");
    assert!(parts.liveness.handle_port_unreachable(parts.now, &"b".into()));
    assert_eq!(review(&mut parts, "b"), Review::WarnDeputies, "port unreachable");
    for (nodes, wanted) in [(&LARGE[..], Review::WarnDeputies), (&LARGE[..8], Review::Done)] {
        let mut parts = Parts::new(nodes, &[]);
        parts.beat("b", Path::Node);
        review(&mut parts, "b");
        parts.pass(75);
        assert_eq!(review(&mut parts, "b"), wanted, "{} nodes", nodes.len());
    }
}

#[test]
fn refutations_are_103_ms_apart_among_three_nodes() {
    let mut parts = Parts::new(&["a", "b", "c"], &[]);
    let due = parts.now + Duration::from_millis(103);
    for (wait, is_sent, armed) in [
        (0, true, None),
        (0, false, Some(due)),
        (102, false, Some(due)),
        (1, true, None),
    ] {
        parts.pass(wait);
        assert_eq!(parts.liveness.begin_refutation(turn!(parts, parts.now)), is_sent);
        assert_eq!(parts.sinks.timers.get(Timer::Refutation), armed);
    }
}

#[test]
fn heartbeats_go_to_four_watchers_and_a_former_one_gets_three_unwatch() {
    let mut parts = Parts::new(&LARGE, &[]);
    let heartbeats = |parts: &mut Parts| {
        parts.liveness.send_heartbeats(turn!(parts, parts.now));
        let drained = parts.drain();
        let unwatched: Vec<String> = drained
            .receivers_of(&Message::Unwatch)
            .iter()
            .map(ToString::to_string)
            .collect();
        (drained.heartbeats, unwatched)
    };
    let (usual, unwatched) = heartbeats(&mut parts);
    assert_eq!((usual.len(), unwatched.len()), (4, 0));
    // Another node watches in place of one that has failed, which is sent heartbeats as well.
    let failed: NodeName = usual[0].as_str().into();
    parts.liveness.peers.conclusion_mut(&failed).phase = Some(peers::Phase::Failed(parts.now));
    let (more, unwatched) = heartbeats(&mut parts);
    assert_eq!((more.len(), unwatched.len()), (5, 0));
    let extra = more.into_iter().find(|node| !usual.contains(node)).unwrap();
    parts.liveness.peers.conclusion_mut(&failed).phase = Some(peers::Phase::Alive);
    assert_eq!(heartbeats(&mut parts), (usual.clone(), vec![extra; 3]));
    assert_eq!(heartbeats(&mut parts), (usual, vec![]));
}

#[test]
fn shutdown_notice_goes_to_every_node_instead_of_heartbeats() {
    let mut parts = Parts::new(&LARGE, &[]);
    parts.context.shutdown = Some(crate::context::Shutdown { handover: true });
    parts.liveness.send_heartbeats(turn!(parts, parts.now));
    let drained = parts.drain();
    assert_eq!(drained.heartbeats, [""; 0]);
    assert_eq!(drained.receivers_of(&Message::Leaving { handover: true }), LARGE[1..]);
}

#[test]
fn failure_report_does_not_overrule_what_this_node_hears() {
    let mut parts = Parts::new(&["a", "b", "c"], &[]);
    let (b, c): (NodeName, NodeName) = ("b".into(), "c".into());
    parts.beat("b", Path::Node);
    parts.hear("c", Path::Node);
    let counts = |parts: &mut Parts| parts.liveness.handle_failure_report(parts.now, &c, &b);
    assert!(!counts(&mut parts));
    parts.pass(75);
    assert!(counts(&mut parts), "this node suspects it too");
    parts.liveness.handle_unwatch(&b);
    parts.hear("b", Path::Node);
    assert!(counts(&mut parts), "this node does not watch it");
}

#[test]
fn report_about_a_network_does_not_count_where_the_reporter_has_failed() {
    let mut parts = super::view::facing(&[("eth0", "10.0.0.2/24"), ("lan0", "172.16.0.2/24")]);
    let segment = Path::Segment(crate::types::InterfaceIndex(2));
    super::view::hear_mac(&mut parts, 2, "b");
    parts.hear("c", Path::Node);
    let counts = |parts: &mut Parts| {
        let around = surroundings!(parts);
        let about = (&"c".into(), &"b".into());
        let networks = ["lan0".to_owned()].into();
        parts
            .liveness
            .handle_network_report(turn!(parts, parts.now), around, about, networks)
    };
    assert!(counts(&mut parts));
    parts.beat("b", segment);
    assert!(!counts(&mut parts), "this node hears it there");
    parts.beat("c", segment);
    parts.pass(300);
    assert!(!counts(&mut parts), "the reporter has failed there, too");
    parts.beat("c", segment);
    assert!(counts(&mut parts));
}

#[test]
fn reports_of_a_peer_that_fails_are_dropped() {
    let mut parts = failed_peer();
    parts.hear("c", Path::Node);
    parts.report_failed("c", "b");
    assert!(!parts.liveness.peers.is_heard(&"c".into(), parts.now));
    review(&mut parts, "b");
    assert!(parts.liveness.peers.is_heard(&"c".into(), parts.now));
}

#[test]
fn recovery_report_voids_the_report_of_the_same_node_only() {
    let mut parts = Parts::new(&["a", "b", "c", "d"], &[]);
    parts.hear("b", Path::Node);
    parts.report_failed("b", "c");
    parts.report_failed("b", "d");
    for (reporter, is_heard) in [("c", false), ("d", true)] {
        parts.liveness.handle_recovery_report(&reporter.into(), &"b".into());
        assert_eq!(parts.liveness.peers.is_heard(&"b".into(), parts.now), is_heard);
    }
}

#[test]
fn peer_whose_watchers_have_all_failed_counts_as_failed() {
    let mut parts = Parts::new(&LARGE, &[]);
    for node in &LARGE[1..] {
        parts.hear(node, Path::Node);
    }
    let never = |_: &NodeName| false;
    let me = parts.context.me.clone();
    // A peer that this node does not watch, and its watchers.
    let watched_by = |node: &str| -> Vec<NodeName> {
        let watchers = parts.liveness.ring.watchers(&node.into(), never);
        watchers.into_iter().cloned().collect()
    };
    let lone = LARGE[1..].iter().find(|node| !watched_by(node).contains(&me)).unwrap();
    let watchers = watched_by(lone);
    let lone: NodeName = (*lone).into();
    for (failed, is_unwatched) in [(&watchers[..3], false), (&watchers[..], true)] {
        for node in failed {
            parts.beat(node.as_str(), Path::Node);
        }
        // The other peers are heard all the time.
        parts.pass(1000);
        for node in LARGE[1..].iter().filter(|node| !failed.contains(&(**node).into())) {
            if *node != lone.as_str() {
                parts.beat(node, Path::Node);
            }
        }
        for node in failed {
            review(&mut parts, node.as_str());
        }
        assert_eq!(parts.liveness.peers.is_unwatched(&lone), is_unwatched);
    }
}

/// All peers are heard on the node network. Those that this node watches fail on the LAN.
#[test]
fn p1_peer_that_nobody_in_this_part_watches_has_failed_there() {
    let mut parts = Parts::new(&LARGE, &[]);
    let (watched, others): (Vec<&str>, Vec<&str>) = LARGE[1..].iter().partition(|node| {
        let watchers = parts.liveness.ring.watchers(&(**node).into(), |_| false);
        watchers.contains(&&parts.context.me)
    });
    let lan = Path::Segment(parts.port().index);
    let macs = LARGE[1..]
        .iter()
        .map(|node| (parts.mac(node), (*node).into()))
        .collect();
    parts.lan.set_peer_macs(turn!(parts, parts.now), macs);
    for node in &LARGE[1..] {
        parts.join(node);
        parts.lan.note_mac(parts.now, parts.port().index, parts.mac(node));
    }
    for node in &watched {
        parts.beat(node, lan);
    }
    for (failed, is_failed) in [(3, false), (4, true)] {
        parts.pass(1000);
        LARGE[1..].iter().for_each(|node| parts.beat(node, Path::Node));
        watched[failed..].iter().for_each(|node| parts.beat(node, lan));
        for node in &watched {
            review(&mut parts, node);
        }
        for node in &others {
            let failed_on = view!(parts, parts.now).failed_networks_of(&(*node).into());
            assert_eq!(failed_on.contains("eth0"), is_failed, "{node}, {failed} have failed");
        }
    }
    // It is heard there after all.
    parts.hear(others[0], lan);
    let failed_on = view!(parts, parts.now).failed_networks_of(&others[0].into());
    assert!(failed_on.is_empty());
}
