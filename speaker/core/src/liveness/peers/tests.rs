use super::*;
use crate::{cluster_snapshot::ClusterSnapshot, testing::start, wire::message::Network};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn arrival(boot: u64, sequence: u64) -> Arrival {
    Arrival {
        address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        path: Path::Node,
        boot: BootId(boot),
        sequence,
    }
}

/// Peers of which each was heard once at `now`, in a small cluster.
fn peers(now: Instant, heard: &[&NodeName]) -> Peers {
    let mut peers = Peers::default();
    peers.set_cluster_size(1);
    for node in heard {
        peers.hear(now, node, &arrival(1, 1));
    }
    peers
}

#[test]
fn replays_restarts_and_clocks_that_went_back_are_recognised() {
    let start = start();
    let mut peers = peers(start, &[]);
    let mut hear = |after: u64, boot, sequence| peers.hear(start + ms(after), &"b".into(), &arrival(boot, sequence));
    assert_eq!(hear(0, 5, 1), Sighting::Restarted);
    assert_eq!(hear(0, 5, 2), Sighting::Known);
    assert_eq!(hear(0, 5, 2), Sighting::Replayed);
    assert_eq!(hear(0, 4, 9), Sighting::Behind(BootId(5)));
    assert_eq!(hear(50_000, 5, 3), Sighting::Appeared);
    assert_eq!(hear(50_000, 6, 1), Sighting::Restarted);
}

#[test]
fn reordered_messages_count_once_each() {
    let start = start();
    let mut peers = peers(start, &[]);
    let mut hear = |sequence| peers.hear(start, &"b".into(), &arrival(1, sequence)) != Sighting::Replayed;
    let order = [
        100, 103, 101, 103, 102, 100, 101, 104, 200, 136, 137, 135, 137, 199, 104, 1000, 999,
    ];
    let fresh: Vec<bool> = order.iter().map(|sequence| hear(*sequence)).collect();
    let wanted = [
        true, true, true, false, true, false, false, true, true, true, true, false, false, true, false, true, true,
    ];
    assert_eq!(fresh, wanted);
}

#[test]
fn watched_peer_fails_by_silence_and_unwatched_peer_by_report() {
    let start = start();
    let (b, c): (NodeName, NodeName) = ("b".into(), "c".into());
    let mut peers = peers(start, &[&b, &c]);
    peers.note_heartbeat(start, &b, Path::Node);
    assert_eq!(peers.phase(&b, start + ms(74)), Some(Phase::Alive));
    assert_eq!(peers.phase(&b, start + ms(75)), Some(Phase::Suspect));
    assert_eq!(peers.next_change(start), Some(start + ms(75)));
    assert_eq!(peers.phase(&b, start + ms(200)), Some(Phase::Failed(start + ms(200))));
    assert_eq!(peers.phase(&c, start + ms(200)), Some(Phase::Alive));
    peers.note_suspicion(start + ms(200), &c);
    assert_eq!(peers.phase(&c, start + ms(201)), Some(Phase::Suspect));
    peers.note_failure_report(start + ms(250), &c, &b, None);
    assert_eq!(peers.phase(&c, start + ms(260)), Some(Phase::Failed(start + ms(250))));
    assert_eq!(peers.hear(start + ms(270), &c, &arrival(1, 2)), Sighting::Appeared);
    assert_eq!(peers.phase(&c, start + ms(270)), Some(Phase::Alive));
}

#[test]
fn peer_that_is_silent_on_one_path_is_alive_and_available() {
    let start = start();
    let b: NodeName = "b".into();
    let segment = Path::Segment(InterfaceIndex(2));
    let mut peers = peers(start, &[&b]);
    peers.note_heartbeat(start, &b, Path::Node);
    peers.note_heartbeat(start, &b, segment);
    for beat in 1..10 {
        let now = start + ms(50 * beat);
        peers.hear(now, &b, &arrival(1, beat + 1));
        peers.note_heartbeat(now, &b, Path::Node);
    }
    let now = start + ms(450);
    assert!(peers.is_heard(&b, now) && peers.is_available(&b, now));
    assert_eq!(peers.phase_on(&b, now, segment), Some(Phase::Failed(start + ms(200))));
    assert!(peers.has_failed_somewhere(&b, now));
    peers.retain_segments(&b, |interface| interface != InterfaceIndex(2));
    assert!(!peers.has_failed_somewhere(&b, now) && peers.watches(&b));
}

#[test]
fn pause_of_this_process_makes_no_peer_suspect() {
    let start = start();
    let node: NodeName = "b".into();
    let mut peers = peers(start, &[&node]);
    peers.note_heartbeat(start, &node, Path::Node);
    let late = start + Duration::from_secs(10);
    assert!(!peers.is_heard(&node, late));
    peers.excuse_pause(late, ms(9990));
    assert_eq!(peers.phase(&node, late), Some(Phase::Alive));
}

#[test]
fn anti_entropy_slows_down_as_the_cluster_grows() {
    assert_eq!(anti_entropy_cycle(3), Duration::from_secs(2));
    assert_eq!(anti_entropy_cycle(14), Duration::from_secs(2));
    assert!((Duration::from_secs(140)..Duration::from_secs(150)).contains(&anti_entropy_cycle(1000)));
}

#[test]
fn warning_of_a_watcher_counts_for_half_a_second() {
    let start = start();
    let b: NodeName = "b".into();
    let mut peers = peers(start, &[&b]);
    peers.note_suspicion(start, &b);
    assert_eq!(peers.phase(&b, start + ms(499)), Some(Phase::Suspect));
    assert_eq!(peers.phase(&b, start + ms(500)), Some(Phase::Alive));
}

/// A report about one network, or about all.
fn reported(network: Option<&str>) -> Option<NetworkNames> {
    network.map(|network| [network.to_owned()].into())
}

#[test]
fn report_of_silence_on_one_network_expires_and_others_stay() {
    let start = start();
    let (b, c): (NodeName, NodeName) = ("b".into(), "c".into());
    let failed = Some(Phase::Failed(start));
    for (about, at_3499_ms, at_3500_ms) in [
        (Some("lan0"), failed, Some(Phase::Alive)),
        (Some("eth0"), Some(Phase::Alive), Some(Phase::Alive)),
        (None, failed, failed),
    ] {
        let mut peers = peers(start, &[&b]);
        peers.note_failure_report(start, &b, &c, reported(about));
        let phase = |after| peers.network_phase(&b, start + ms(after), None, "lan0");
        assert_eq!((phase(3499), phase(3500)), (at_3499_ms, at_3500_ms), "{about:?}");
    }
}

#[test]
fn message_voids_failure_reports_except_those_on_other_networks() {
    let start = start();
    let (b, c): (NodeName, NodeName) = ("b".into(), "c".into());
    for (about, is_failed) in [(None, false), (Some("eth0"), false), (Some("lan0"), true)] {
        let mut peers = peers(start, &[&b]);
        let address = format!("{}/24", arrival(1, 1).address);
        let eth0 = crate::test_support::network("eth0", crate::types::MacAddr::zero(), &[&address]);
        peers.set_networks(&b, vec![eth0]);
        peers.note_failure_report(start, &b, &c, reported(about));
        peers.hear(start, &b, &arrival(1, 2));
        let network = about.unwrap_or("lan0");
        let phase = peers.network_phase(&b, start, None, network);
        assert_eq!(phase.is_some_and(Phase::is_failed), is_failed, "{about:?}");
    }
}

#[test]
fn unwatched_peer_fails_after_four_missed_cycles() {
    let start = start();
    let b: NodeName = "b".into();
    let peers = peers(start, &[&b]);
    assert_eq!(peers.phase(&b, start + ms(7999)), Some(Phase::Alive));
    assert_eq!(peers.phase(&b, start + ms(8000)), Some(Phase::Failed(start + ms(8000))));
}

#[test]
fn port_unreachable_is_news_once_between_two_messages() {
    let start = start();
    let b: NodeName = "b".into();
    let mut peers = peers(start, &[&b]);
    assert!(peers.note_port_unreachable(start, &b));
    assert!(!peers.note_port_unreachable(start, &b));
    assert_eq!(peers.phase(&b, start), Some(Phase::Suspect));
    peers.hear(start, &b, &arrival(1, 2));
    assert_eq!(peers.phase(&b, start), Some(Phase::Alive));
    assert!(peers.note_port_unreachable(start, &b));
    assert!(
        !peers.note_port_unreachable(start + ms(8000), &b),
        "it has failed already"
    );
}

#[test]
fn peer_heard_within_a_second_is_not_failed_for_lack_of_watchers() {
    let start = start();
    let b: NodeName = "b".into();
    let mut peers = peers(start, &[&b]);
    peers.set_unwatched(start, &b, true);
    assert_eq!(peers.phase(&b, start), Some(Phase::Failed(start)));
    peers.hear(start, &b, &arrival(1, 2));
    peers.set_unwatched(start + ms(999), &b, true);
    assert_eq!(peers.phase(&b, start + ms(999)), Some(Phase::Alive));
    peers.set_unwatched(start + ms(1000), &b, true);
    assert!(peers.is_unwatched(&b));
}

#[test]
fn restart_keeps_the_networks_and_awaits_the_claims_again() {
    let start = start();
    let b: NodeName = "b".into();
    let mut peers = peers(start, &[&b]);
    let networks = vec![Network {
        interface: "eth0".to_owned(),
        mac: crate::types::MacAddr::zero(),
        addresses: Vec::new(),
        usable: true,
    }];
    assert!(peers.set_networks(&b, networks.clone()));
    assert!(!peers.set_networks(&b, networks.clone()), "nothing has changed");
    assert!(peers.note_claims_complete(&b) && !peers.note_claims_complete(&b));
    peers.set_leaving(start, &b, false);
    peers.hear(start + ms(1), &b, &arrival(2, 1));
    assert_eq!(peers.networks_of(&b), networks);
    assert!(peers.has_sent_hello(&b));
    assert_eq!(peers.awaiting_claims_since(&b), Some(start + ms(1)));
    assert_eq!(peers.leaving(&b), None);
}

#[test]
fn node_that_left_the_cluster_is_forgotten_once_it_is_silent() {
    let start = start();
    let b: NodeName = "b".into();
    let mut peers = peers(start, &[&b]);
    let empty = ClusterSnapshot::default();
    peers.retain(start + ms(7999), &empty);
    assert!(peers.session(&b).is_some());
    peers.retain(start + ms(8000), &crate::testing::snapshot(&["a", "b"], &[]));
    assert!(peers.session(&b).is_some(), "the snapshot has it");
    peers.retain(start + ms(8000), &empty);
    assert!(peers.session(&b).is_none());
}
