//! Which requests are answered, and with which MAC.

use super::*;

#[test]
fn owned_address_is_answered_on_its_own_port_only() {
    let mut parts = owning(&[ADDRESS, ADDRESS_V6]);
    let mac = parts.port().mac;
    let solicitation = ndp::solicitation(CLIENT, Some("fe80::9".parse().unwrap()), ADDRESS_V6.parse().unwrap());
    for frame in [arp_request(ADDRESS), solicitation] {
        let reply = handle(&mut parts, ETH0, &frame).reply.unwrap();
        assert_eq!(macs_of_reply(&reply), (mac, mac));
        assert_eq!(handle(&mut parts, ETH1, &frame).reply, None);
    }
    assert!(!is_answered(&mut parts, &arp_request("192.0.2.2")));
    let traffic = parts.sinks.stats.traffic[&ip(ADDRESS)];
    assert_eq!((traffic.requests, traffic.responses), (1, 1));
}

#[test]
fn request_to_another_host_and_announcement_of_a_host_get_no_answer() {
    let mut parts = owning(&[ADDRESS]);
    let mut to_other = arp_request(ADDRESS);
    to_other[..6].copy_from_slice(&[2, 0, 0, 0, 0, 77]);
    assert!(!is_answered(&mut parts, &to_other));
    to_other[..6].copy_from_slice(&parts.port().mac.octets());
    assert!(is_answered(&mut parts, &to_other), "a host revalidates its cache");
    assert!(!is_answered(&mut parts, &arp_claim(CLIENT, ADDRESS)));
}

#[test]
fn nothing_is_answered_while_listening() {
    let mut parts = owning(&[ADDRESS]);
    parts.context.listening = true;
    assert!(!is_answered(&mut parts, &arp_request(ADDRESS)));
    parts.context.listening = false;
    assert!(is_answered(&mut parts, &arp_request(ADDRESS)));
}

#[test]
fn tentative_address_is_silent_until_two_probes_stay_unanswered() {
    let mut parts = Parts::new(&["a", "b"], &[ADDRESS]);
    own(&mut parts, &[ADDRESS], &[ADDRESS]);
    assert_eq!(announced_now(&mut parts), [] as [IpAddr; 0]);
    parts.lan.announce(turn!(parts, parts.now), ip(ADDRESS));
    assert_eq!(parts.drain().frames, [] as [Vec<u8>; 0]);
    for probes_due in [1, 1, 0] {
        assert!(!is_answered(&mut parts, &arp_request(ADDRESS)));
        assert_eq!(parts.lan.announced().count(), 0);
        let cleared = parts.lan.run_conflict_detection(turn!(parts, parts.now));
        assert_eq!(cleared.is_empty(), probes_due == 1);
        let probes = parts.drain().frames;
        assert_eq!(probes.len(), probes_due);
        let is_probe = |frame: &Vec<u8>| {
            let packet = ArpPacket::parse(frame).unwrap();
            packet.sender.is_unspecified() && IpAddr::from(packet.target) == ip(ADDRESS)
        };
        assert!(probes.iter().all(is_probe));
        parts.pass(15);
    }
    assert!(is_answered(&mut parts, &arp_request(ADDRESS)));
    assert_eq!(announced_now(&mut parts), [ip(ADDRESS); 2]);
    assert!(parts.sinks.timers.get(Timer::OwnershipReview).is_some());
}

#[test]
fn deputy_answers_with_the_mac_of_the_owner() {
    let mut parts = Parts::new(&["a", "b"], &[ADDRESS]);
    let duties = duty(&parts, ADDRESS);
    parts.lan.set_duties(turn!(parts, parts.now), duties);
    let reply = handle(&mut parts, ETH0, &arp_request(ADDRESS)).reply.unwrap();
    assert_eq!(macs_of_reply(&reply), (parts.mac("a"), parts.mac("b")));
    assert_eq!(handle(&mut parts, ETH1, &arp_request(ADDRESS)).reply, None);
    assert_eq!(parts.sinks.stats.deputy_activations, 1);
    assert!(parts.sinks.stats.traffic.is_empty(), "the traffic is the owner's");
    parts.context.listening = true;
    assert!(!is_answered(&mut parts, &arp_request(ADDRESS)));
}

#[test]
fn change_of_duties_is_reported_and_returned_once() {
    let mut parts = Parts::new(&["a", "b"], &[ADDRESS]);
    let b: NodeName = "b".into();
    let duties = duty(&parts, ADDRESS);
    for (wanted, owners, addresses) in [
        (duties.clone(), vec![b.clone()], Some(1)),
        (duties, vec![], None),
        (BTreeMap::new(), vec![b.clone()], Some(0)),
    ] {
        let changed = parts.lan.set_duties(turn!(parts, parts.now), wanted);
        assert_eq!(Vec::from_iter(changed), owners);
        let events = parts.drain().events;
        let owner = b.clone();
        let event = addresses.map(|addresses| Event::DeputyChanged {
            deputy: "a".into(),
            owner,
            addresses,
        });
        assert_eq!(events, Vec::from_iter(event));
    }
}

#[test]
fn owner_is_sent_the_addresses_that_its_deputy_answers_for() {
    let mut parts = Parts::new(&["a", "b", "c"], &[ADDRESS]);
    let duties = duty(&parts, ADDRESS);
    parts.lan.set_duties(turn!(parts, parts.now), duties);
    for (owner, sent) in [("b", vec!["b"]), ("c", vec![])] {
        parts.lan.confirm_duties(turn!(parts, parts.now), &owner.into());
        let message = Message::DeputyFor(vec![ip(ADDRESS)]);
        assert_eq!(parts.drain().receivers_of(&message), sent);
    }
}

#[test]
fn malformed_frames_are_counted_by_protocol() {
    let mut parts = owning(&[ADDRESS]);
    for (kind, counts) in [(FrameKind::Arp, (1, 0)), (FrameKind::Ndp, (1, 1))] {
        let outcome = parts.lan.handle_frame(turn!(parts, parts.now), ETH0, kind, &[0; 60]);
        assert!(outcome.reply.is_none() && outcome.peer_use.is_none());
        let malformed = parts.sinks.stats.malformed;
        assert_eq!((malformed.arp, malformed.ndp), counts);
    }
}
