//! Conflicts with hosts outside the cluster, and who counts as one.

use super::*;
use crate::event::ForeignConflictResponse;

#[test]
fn foreign_claim_is_defended_every_ten_seconds_and_reported_less_often() {
    let mut parts = owning(&[ADDRESS]);
    for (wait, is_due, is_reported) in [
        (0, true, true),
        (9_999, false, false),
        (1, true, false),
        (0, false, false),
        (50_000, true, true),
        (60_000, true, false),
        (60_000, true, true),
    ] {
        parts.pass(wait);
        handle(&mut parts, ETH0, &arp_claim(CLIENT, ADDRESS));
        let drained = parts.drain();
        let event = Event::ForeignConflict {
            address: ip(ADDRESS),
            owner: "a".into(),
            services: parts.announcement(ADDRESS).owned.services,
            mac: CLIENT,
            response: ForeignConflictResponse::Defends,
            knows_peers: false,
        };
        assert_eq!(drained.events, Vec::from_iter(is_reported.then_some(event)));
        assert_eq!(drained.frames.len(), if is_due { 2 } else { 0 });
    }
    assert_eq!(parts.lan.conflicts().conflict_count(), 5);
    assert!(is_answered(&mut parts, &arp_request(ADDRESS)));
}

#[test]
fn tentative_address_is_left_to_the_foreign_host_that_has_it() {
    let mut parts = Parts::new(&["a", "b"], &[ADDRESS]);
    own(&mut parts, &[ADDRESS], &[ADDRESS]);
    for _ in 0..2 {
        handle(&mut parts, ETH0, &arp_claim(CLIENT, ADDRESS));
    }
    let drained = parts.drain();
    assert!(
        matches!(
            &drained.events[..],
            [Event::ForeignConflict {
                mac: CLIENT,
                response: ForeignConflictResponse::HoldsBack,
                ..
            }]
        ),
        "{drained:?}"
    );
    assert_eq!(drained.frames, [] as [Vec<u8>; 0]);
    parts.pass(9_999);
    let cleared = parts.lan.run_conflict_detection(turn!(parts, parts.now));
    assert_eq!(cleared, [] as [IpAddr; 0]);
    assert!(!is_answered(&mut parts, &arp_request(ADDRESS)));
}

#[test]
fn foreign_probe_defers_a_tentative_address_and_is_no_conflict() {
    let arp_probe = arp::request(CLIENT, [0; 4].into(), ADDRESS.parse().unwrap());
    let ndp_probe = ndp::solicitation(CLIENT, None, ADDRESS_V6.parse().unwrap());
    for (address, frame) in [(ADDRESS, arp_probe.into()), (ADDRESS_V6, ndp_probe)] {
        let frame: Vec<u8> = frame;
        let mut parts = Parts::new(&["a", "b"], &[address]);
        own(&mut parts, &[address], &[address]);
        assert!(!is_answered(&mut parts, &frame));
        assert_eq!(parts.drain().events, []);
        for (wait, cleared) in [(4_999, false), (1, false), (15, false), (15, true)] {
            parts.pass(wait);
            // The switch probes on.
            handle(&mut parts, ETH0, &frame);
            let addresses = parts.lan.run_conflict_detection(turn!(parts, parts.now));
            assert_eq!(addresses, Vec::from_iter(cleared.then_some(ip(address))));
        }
    }
}

#[test]
fn probe_of_a_peer_does_not_defer_a_tentative_address() {
    let mut parts = Parts::new(&["a", "b"], &[ADDRESS]);
    let peer = parts.mac("b");
    set_peer_macs(&mut parts, [(peer, "b".into())].into());
    own(&mut parts, &[ADDRESS], &[ADDRESS]);
    handle(
        &mut parts,
        ETH0,
        &arp::request(peer, [0; 4].into(), ADDRESS.parse().unwrap()),
    );
    assert_eq!(parts.lan.conflicts().next_timeout(), Some(parts.now));
}

#[test]
fn probe_for_an_announced_address_is_answered_and_no_conflict() {
    let mut parts = owning(&[ADDRESS]);
    let probe = arp::request(CLIENT, [0; 4].into(), ADDRESS.parse().unwrap());
    assert!(is_answered(&mut parts, &probe));
    assert_eq!(parts.drain().events, []);
}

#[test]
fn mac_of_this_node_or_of_a_peer_is_no_foreign_host() {
    let mut parts = owning(&[ADDRESS]);
    let (own_mac, peer_mac) = (parts.mac("a"), parts.mac("b"));
    set_peer_macs(&mut parts, [(peer_mac, "b".into())].into());
    for (mac, is_foreign) in [(own_mac, false), (peer_mac, false), (CLIENT, true)] {
        let outcome = handle(&mut parts, ETH0, &arp_claim(mac, ADDRESS));
        assert_eq!(outcome.peer_use.is_some(), mac == peer_mac);
        assert_eq!(!parts.drain().events.is_empty(), is_foreign, "{mac}");
    }
}

#[test]
fn foreign_host_that_proves_to_be_a_peer_is_probed_again_at_once() {
    let mut parts = Parts::new(&["a", "b"], &[ADDRESS]);
    own(&mut parts, &[ADDRESS], &[ADDRESS]);
    handle(&mut parts, ETH0, &arp_claim(CLIENT, ADDRESS));
    set_peer_macs(&mut parts, BTreeMap::new());
    assert_eq!(parts.lan.conflicts().other_user(ip(ADDRESS)), Some(CLIENT));
    set_peer_macs(&mut parts, [(CLIENT, "b".into())].into());
    assert_eq!(parts.lan.conflicts().other_user(ip(ADDRESS)), None);
    assert_eq!(parts.lan.conflicts().next_timeout(), Some(parts.now));
}

#[test]
fn answer_of_a_deputy_is_no_sign_of_the_owner() {
    let mut parts = Parts::new(&["a", "b", "c"], &[ADDRESS]);
    let (owner, deputy) = (parts.mac("b"), parts.mac("c"));
    let macs = [(owner, "b".into()), (deputy, "c".into())];
    set_peer_macs(&mut parts, macs.into());
    let request = ArpPacket::parse(&arp_request(ADDRESS)).unwrap();
    for (source, node) in [(owner, Some("b")), (deputy, None)] {
        let outcome = handle(&mut parts, ETH0, &request.reply(source, owner));
        assert_eq!(outcome.peer_use.as_ref().map(|(node, _)| node.as_str()), node);
    }
}

#[test]
fn hosts_outside_the_cluster_are_remembered_as_neighbours() {
    let mut parts = owning(&[ADDRESS]);
    let peer = parts.mac("b");
    set_peer_macs(&mut parts, [(peer, "b".into())].into());
    handle(&mut parts, ETH0, &arp_claim(peer, "192.0.2.202"));
    handle(&mut parts, ETH0, &arp_claim(CLIENT, ADDRESS));
    assert!(!parts.lan.neighbours().knows_host_on(InterfaceIndex(1)));
    handle(&mut parts, ETH1, &arp_claim(CLIENT, "192.0.2.99"));
    let hosts: Vec<_> = parts.lan.neighbours().hosts_on(ETH1).collect();
    assert_eq!(hosts, [ip("192.0.2.99")]);
}

#[test]
fn without_conflict_detection_foreign_hosts_change_nothing() {
    let settings = Settings {
        conflict_detection: ConflictDetectionMode::Off,
        ..Settings::default()
    };
    let mut parts = Parts::with_settings(&["a", "b"], &[ADDRESS], settings);
    own(&mut parts, &[ADDRESS], &[ADDRESS]);
    handle(&mut parts, ETH0, &arp_claim(CLIENT, ADDRESS));
    let cleared = parts.lan.run_conflict_detection(turn!(parts, parts.now));
    assert_eq!(cleared, [ip(ADDRESS)], "the address is announced at once");
    assert_eq!(announced_now(&mut parts), [ip(ADDRESS); 2]);
    handle(&mut parts, ETH0, &arp_claim(CLIENT, ADDRESS));
    let drained = parts.drain();
    assert_eq!((drained.events.len(), drained.frames.len()), (0, 0));
    assert_eq!(parts.lan.conflicts().conflict_count(), 0);
    assert!(is_answered(&mut parts, &arp_request(ADDRESS)));
}

#[test]
fn address_that_stays_taken_is_reported_again() {
    let mut parts = Parts::new(&["a", "b"], &[ADDRESS]);
    own(&mut parts, &[ADDRESS], &[ADDRESS]);
    let mut events = 0;
    // The foreign host answers each probe.
    for _ in 0..31 {
        handle(&mut parts, ETH0, &arp_claim(CLIENT, ADDRESS));
        events += parts.drain().events.len();
        parts.pass(10_000);
        parts.lan.run_conflict_detection(turn!(parts, parts.now));
    }
    assert_eq!(events, 3, "after 0, 1 and 3 minutes");
}
