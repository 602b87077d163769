use super::*;
use crate::{
    lan::AddressUse,
    liveness::reachability::Reachability,
    testing::ADDRESS,
    types::{InterfaceIndex, MacAddr},
    wire::arp::ArpPacket,
};

/// Which of the two answers in a round of questions.
#[derive(Clone, Copy)]
enum Answering {
    Node,
    Speaker,
    Nobody,
}

/// `b` owns [`ADDRESS`], has answered on the wire, and is now checked. `c` and `d` are heard.
fn checking() -> Parts {
    let mut parts = Parts::new(&["a", "b", "c", "d"], &[ADDRESS]);
    for node in ["b", "c", "d"] {
        parts.join(node);
    }
    parts.beat("b", Path::Node);
    answer(&mut parts, ip("192.0.2.202"), false);
    parts.pass(200);
    check(&mut parts, &["b"]);
    parts
}

fn check(parts: &mut Parts, nodes: &[&str]) {
    check_for(parts, nodes, &[ADDRESS]);
}

/// Checks nodes that announce these addresses on `eth0`.
fn check_for(parts: &mut Parts, nodes: &[&str], owned: &[&str]) {
    let targets = |_: &&str| [("eth0".to_owned(), owned.iter().map(|address| ip(address)).collect())].into();
    let targets = nodes.iter().map(|node| ((*node).into(), targets(node))).collect();
    let around = surroundings!(parts);
    parts.liveness.set_checks(turn!(parts, parts.now), around, &targets);
}

/// An ARP packet of `b` says that it uses an address.
fn answer(parts: &mut Parts, address: IpAddr, owns: bool) {
    answer_on(parts, InterfaceIndex(1), address, owns);
}

fn answer_on(parts: &mut Parts, interface: InterfaceIndex, address: IpAddr, owns: bool) {
    let mac = parts.mac("b");
    let seen = AddressUse {
        interface,
        source: mac,
        address,
        mac,
    };
    let turn = turn!(parts, parts.now);
    let node = "b".into();
    parts
        .liveness
        .count_answer(turn, &seen, AddressUser { node: &node, owns });
}

/// Runs some rounds of all checks, with these answers of `b` to each.
fn run(parts: &mut Parts, rounds: usize, answers: Answering) {
    for _ in 0..rounds {
        parts.now = parts.sinks.timers.get(Timer::ReachabilityCheck).unwrap();
        let around = surroundings!(parts);
        let turn = turn!(parts, parts.now);
        parts.liveness.send_check_requests(turn, around);
        match answers {
            Answering::Node => answer(parts, ip("192.0.2.202"), false),
            Answering::Speaker => answer(parts, ip(ADDRESS), true),
            Answering::Nobody => {}
        }
    }
}

fn result(parts: &Parts) -> Reachability {
    view!(parts, parts.now).reachability(&"b".into(), &["eth0".to_owned()].into())
}

#[test]
fn answers_on_the_wire_decide_after_nine_rounds() {
    for (answers, wanted) in [
        (Answering::Node, Reachability::SpeakerDown),
        (Answering::Speaker, Reachability::SpeakerAlive),
        (Answering::Nobody, Reachability::NodeDown),
    ] {
        let mut parts = checking();
        run(&mut parts, 8, answers);
        if wanted != Reachability::SpeakerAlive {
            assert_eq!(result(&parts), Reachability::Undecided);
        }
        parts.sinks.timers.set(Timer::OwnershipReview, None);
        run(&mut parts, 1, Answering::Nobody);
        assert_eq!(result(&parts), wanted);
        let is_news = wanted != Reachability::SpeakerAlive;
        assert_eq!(parts.sinks.timers.get(Timer::OwnershipReview).is_some(), is_news);
    }
}

#[test]
fn each_round_asks_for_the_node_and_for_one_of_its_addresses() {
    let mut parts = checking();
    let owned = [ip("192.0.2.1"), ip("192.0.2.2")];
    check_for(&mut parts, &["b"], &["192.0.2.1", "192.0.2.2"]);
    let mut asked = Vec::new();
    for _ in 0..2 {
        let around = surroundings!(parts);
        let turn = turn!(parts, parts.now);
        parts.liveness.send_check_requests(turn, around);
        let frames = parts.drain().frames;
        let packets: Vec<ArpPacket> = frames.iter().map(|frame| ArpPacket::parse(frame).unwrap()).collect();
        assert!(
            packets
                .iter()
                .all(|packet| !packet.reply && packet.sender == ip("192.0.2.201"))
        );
        assert_eq!(packets[0].target, ip("192.0.2.202"));
        asked.push(IpAddr::from(packets[1].target));
        assert_eq!(packets.len(), 2);
        parts.pass(20);
    }
    asked.sort();
    assert_eq!(asked, owned);
}

#[test]
fn check_begins_once_and_ends_with_the_need_for_it() {
    let mut parts = checking();
    run(&mut parts, 9, Answering::Nobody);
    check(&mut parts, &["b"]);
    assert_eq!(parts.sinks.stats.reachability_checks, 1);
    assert_eq!(result(&parts), Reachability::NodeDown, "it has not begun again");
    check(&mut parts, &[]);
    assert_eq!(parts.sinks.timers.get(Timer::ReachabilityCheck), None);
    check(&mut parts, &["b"]);
    assert_eq!(parts.sinks.stats.reachability_checks, 2);
    assert_eq!(result(&parts), Reachability::Undecided);
}

#[test]
fn isolated_node_concludes_nothing_from_silence() {
    let mut parts = checking();
    parts
        .lan
        .neighbours_mut()
        .note_host(parts.now, InterfaceIndex(1), ip("192.0.2.77"));
    parts.node.set_kernel_settings(crate::node::preflight::KernelSettings {
        gateways: [("eth0".to_owned(), ip("192.0.2.254"))].into(),
        ..Default::default()
    });
    parts.report_failed("c", "d");
    parts.report_failed("d", "c");
    parts.drain();
    run(&mut parts, 30, Answering::Nobody);
    assert_eq!(result(&parts), Reachability::Undecided);
    let frames = parts.drain().frames;
    let asks_host = |frame: &&Vec<u8>| ArpPacket::parse(frame).unwrap().target == ip("192.0.2.77");
    assert_eq!(frames.iter().filter(asks_host).count(), 30, "it asks a foreign host");
    let gateway = std::net::Ipv4Addr::new(192, 0, 2, 254);
    let asks_gateway = |frame: &&Vec<u8>| ArpPacket::parse(frame).unwrap().target == gateway;
    assert_eq!(
        frames.iter().filter(asks_gateway).count(),
        30,
        "and the default gateway"
    );
    // The host answers: the node is not isolated, and the silence counts from now on.
    parts.lan.neighbours_mut().note_heard(parts.now, InterfaceIndex(1));
    run(&mut parts, 3, Answering::Nobody);
    assert_eq!(result(&parts), Reachability::Undecided);
    run(&mut parts, 1, Answering::Nobody);
    assert_eq!(result(&parts), Reachability::NodeDown);
}

#[test]
fn node_without_hosts_to_ask_is_isolated_for_a_second() {
    let mut parts = checking();
    parts.report_failed("c", "d");
    parts.report_failed("d", "c");
    let start = parts.now;
    for (after, is_isolated) in [(0, true), (999, true), (1000, false)] {
        let now = start + Duration::from_millis(after);
        assert_eq!(
            view!(parts, now).is_isolated_on(InterfaceIndex(1)),
            is_isolated,
            "after {after} ms"
        );
    }
}

#[test]
fn node_is_not_isolated_while_a_peer_is_heard_or_all_others_leave() {
    let mut parts = checking();
    let host = ip("192.0.2.77");
    parts.lan.neighbours_mut().note_host(parts.now, InterfaceIndex(1), host);
    assert!(!view!(parts, parts.now).is_isolated_on(InterfaceIndex(1)));
    for node in ["b", "c", "d"] {
        parts.liveness.handle_leaving(parts.now, &node.into(), true);
    }
    parts.pass(10_000);
    assert!(!view!(parts, parts.now).is_isolated_on(InterfaceIndex(1)));
}

#[test]
fn node_that_never_answered_is_down_once_two_watchers_agree() {
    let mut parts = checking();
    parts.liveness.peers.conclusion_mut(&"b".into()).answered.clear();
    run(&mut parts, 9, Answering::Nobody);
    assert_eq!(
        result(&parts),
        Reachability::Undecided,
        "only this node declares it failed"
    );
    assert!(view!(parts, parts.now).answers_no_check(&"b".into()));
    parts.report_failed("b", "c");
    assert_eq!(result(&parts), Reachability::NodeDown);
}

#[test]
fn one_watcher_suffices_where_it_is_the_last_one_alive() {
    let mut parts = Parts::new(&["a", "b"], &[ADDRESS]);
    parts.join("b");
    parts.beat("b", Path::Node);
    parts.pass(200);
    check(&mut parts, &["b"]);
    run(&mut parts, 60, Answering::Nobody);
    assert_eq!(result(&parts), Reachability::NodeDown);
}

#[test]
fn answers_for_unknown_addresses_or_on_other_interfaces_prove_nothing() {
    for (interface, address) in [(1, "192.0.2.99"), (2, "192.0.2.202")] {
        let mut parts = checking();
        run(&mut parts, 8, Answering::Nobody);
        answer_on(&mut parts, InterfaceIndex(interface), ip(address), false);
        run(&mut parts, 1, Answering::Nobody);
        assert_eq!(result(&parts), Reachability::NodeDown);
    }
}

#[test]
fn watched_peers_are_asked_before_they_are_suspect() {
    let mut parts = Parts::new(&["a", "b", "c"], &[]);
    for node in ["b", "c"] {
        parts.join(node);
    }
    parts
        .sinks
        .timers
        .set(Timer::ReachabilityBaseline, Some(parts.now + Duration::from_secs(10)));
    parts.beat("b", Path::Node);
    let due = parts.sinks.timers.get(Timer::ReachabilityBaseline);
    assert_eq!(due, Some(parts.now + Duration::from_millis(300)));
    let around = surroundings!(parts);
    let turn = turn!(parts, parts.now);
    parts.liveness.send_baseline_requests(turn, around);
    let targets = parts.drain().frames;
    let targets: Vec<_> = targets
        .iter()
        .map(|frame| ArpPacket::parse(frame).unwrap().target)
        .collect();
    assert_eq!(
        targets,
        [std::net::Ipv4Addr::new(192, 0, 2, 202)],
        "only `b` is watched"
    );
    let answers = |parts: &Parts| {
        let conclusion = parts.liveness.peers.conclusion(&"b".into()).unwrap();
        conclusion.answered.contains(&InterfaceIndex(1))
    };
    assert!(!answers(&parts));
    answer(&mut parts, ip("192.0.2.202"), false);
    assert!(answers(&parts));
    assert_ne!(parts.mac("b"), MacAddr::zero());
}

#[test]
fn node_that_becomes_isolated_takes_its_conclusion_back() {
    let mut parts = checking();
    run(&mut parts, 9, Answering::Nobody);
    assert_eq!(result(&parts), Reachability::NodeDown);
    parts.report_failed("c", "d");
    parts.report_failed("d", "c");
    assert_eq!(result(&parts), Reachability::Undecided);
}

#[test]
fn answer_for_an_own_address_from_another_port_proves_nothing() {
    let mut parts = checking();
    run(&mut parts, 8, Answering::Nobody);
    let other = MacAddr::new(2, 7, 0, 0, 0, 2);
    let seen = AddressUse {
        interface: InterfaceIndex(1),
        source: other,
        address: ip("192.0.2.202"),
        mac: other,
    };
    let node = "b".into();
    let user = AddressUser {
        node: &node,
        owns: false,
    };
    parts.liveness.count_answer(turn!(parts, parts.now), &seen, user);
    run(&mut parts, 1, Answering::Nobody);
    assert_eq!(result(&parts), Reachability::NodeDown);
}

/// `b` falls silent on `eth0`, and is heard on another segment.
fn silent_on_eth0(known_host: bool) -> Parts {
    let mut parts = Parts::new(&["a", "b"], &[ADDRESS]);
    parts.join("b");
    super::view::hear_mac(&mut parts, 1, "b");
    parts.beat("b", Path::Segment(InterfaceIndex(1)));
    if known_host {
        parts
            .lan
            .neighbours_mut()
            .note_host(parts.now, InterfaceIndex(1), ip("192.0.2.77"));
    }
    for _ in 0..8 {
        parts.pass(50);
        parts.beat("b", Path::Segment(InterfaceIndex(2)));
        review(&mut parts, "b");
    }
    parts
}

/// Runs the requests of an isolated node for a while. Returns the networks on which it is isolated.
fn isolated_after(parts: &mut Parts, rounds: usize) -> Vec<String> {
    for _ in 0..rounds {
        if let Some(due) = parts.sinks.timers.get(Timer::ReachabilityCheck) {
            parts.now = due;
            let around = surroundings!(parts);
            parts.liveness.send_check_requests(turn!(parts, parts.now), around);
        }
    }
    view!(parts, parts.now).isolated_networks().into_iter().collect()
}

#[test]
fn p1_node_cut_off_from_one_segment_knows_it_after_eight_questions() {
    let mut parts = silent_on_eth0(true);
    assert!(isolated_after(&mut parts, 8).is_empty());
    assert_eq!(isolated_after(&mut parts, 2), ["eth0"]);
    parts.lan.neighbours_mut().note_heard(parts.now, InterfaceIndex(1));
    assert!(isolated_after(&mut parts, 1).is_empty(), "something is heard");
}

#[test]
fn silence_of_one_peer_without_a_host_to_ask_is_no_isolation() {
    let mut parts = silent_on_eth0(false);
    assert!(isolated_after(&mut parts, 30).is_empty());
}
