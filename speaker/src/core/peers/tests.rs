use super::*;

const ADDRESS: (IpAddr, Path) = (IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), Path::Node);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn replayed_messages_are_ignored_and_a_restart_and_a_clock_that_went_back_are_noticed() {
    let start = lodestone_runtime::clock::now();
    let mut peers = Peers::default();
    peers.retain(start, &Facts::default());
    let mut hear = |after: u64, boot, sequence| peers.hear(start + ms(after), &"b".into(), ADDRESS, boot, sequence);
    assert_eq!(hear(0, 5, 1), Heard::Restarted);
    assert_eq!(hear(0, 5, 2), Heard::Known);
    assert_eq!(hear(0, 5, 2), Heard::Again);
    assert_eq!(hear(0, 4, 9), Heard::Behind(5));
    assert_eq!(hear(50_000, 5, 3), Heard::Appeared);
    assert_eq!(hear(50_000, 6, 1), Heard::Restarted);
}

#[test]
fn messages_may_come_in_another_order_and_each_counts_once() {
    let start = lodestone_runtime::clock::now();
    let mut peers = Peers::default();
    peers.retain(start, &Facts::default());
    let mut hear = |sequence| peers.hear(start, &"b".into(), ADDRESS, 1, sequence) != Heard::Again;
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
fn one_that_is_watched_is_doubted_and_then_suspected_and_one_that_is_not_only_when_others_say_so() {
    let start = lodestone_runtime::clock::now();
    let (b, c): (NodeName, NodeName) = ("b".into(), "c".into());
    let mut peers = Peers::default();
    peers.retain(start, &Facts::default());
    for node in [&b, &c] {
        peers.hear(start, node, ADDRESS, 1, 1);
    }
    peers.beat(start, &b, Path::Node);
    assert_eq!(peers.phase(&b, start + ms(74)), Some(Phase::Well));
    assert_eq!(peers.phase(&b, start + ms(75)), Some(Phase::Doubted));
    assert_eq!(peers.next_change(start), Some(start + ms(75)));
    assert_eq!(
        peers.phase(&b, start + ms(200)),
        Some(Phase::Suspected(start + ms(200)))
    );
    assert_eq!(peers.phase(&c, start + ms(200)), Some(Phase::Well));
    peers.told_doubt(start + ms(200), &c);
    assert_eq!(peers.phase(&c, start + ms(201)), Some(Phase::Doubted));
    peers.told(start + ms(250), &c, &b, false);
    assert_eq!(
        peers.phase(&c, start + ms(260)),
        Some(Phase::Suspected(start + ms(250)))
    );
    assert_eq!(peers.hear(start + ms(270), &c, ADDRESS, 1, 2), Heard::Appeared);
    assert_eq!(peers.phase(&c, start + ms(270)), Some(Phase::Well));
}

#[test]
fn where_a_speaker_announces_matters_and_it_lives_as_long_as_it_is_heard_at_all() {
    let start = lodestone_runtime::clock::now();
    let b: NodeName = "b".into();
    let mut peers = Peers::default();
    peers.retain(start, &Facts::default());
    peers.hear(start, &b, ADDRESS, 1, 1);
    peers.beat(start, &b, Path::Node);
    peers.beat(start, &b, Path::Lan);
    for beat in 1..10 {
        let now = start + ms(50 * beat);
        peers.hear(now, &b, ADDRESS, 1, beat + 1);
        peers.beat(now, &b, Path::Node);
    }
    let now = start + ms(450);
    assert!(peers.lives(&b, now) && !peers.can_take(&b, now));
    peers.unwatch(&b);
    assert!(peers.can_take(&b, now));
}

#[test]
fn a_pause_of_our_own_makes_nobody_suspect() {
    let start = lodestone_runtime::clock::now();
    let node: NodeName = "b".into();
    let mut peers = Peers::default();
    peers.retain(start, &Facts::default());
    peers.hear(start, &node, ADDRESS, 1, 1);
    peers.beat(start, &node, Path::Node);
    let late = start + Duration::from_secs(10);
    assert!(!peers.lives(&node, late));
    peers.excuse(late, ms(9990));
    assert_eq!(peers.phase(&node, late), Some(Phase::Well));
}

#[test]
fn everything_is_said_again_less_often_the_more_nodes_there_are() {
    assert_eq!(cycle(3), Duration::from_secs(2));
    assert_eq!(cycle(14), Duration::from_secs(2));
    assert!((Duration::from_secs(140)..Duration::from_secs(150)).contains(&cycle(1000)));
}
