//! Any frames and any messages, one after another: nothing breaks, and what was owned goes on being answered for.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::wire::message::Network;

/// So many outputs are more than any one input is worth.
const FLOOD: usize = 200;

/// A frame of any bytes, or one whose header is that of ARP, so that more of it is looked at.
fn arp_frame() -> impl Strategy<Value = Vec<u8>> {
    let of_arp = (0..3_u8, vec(any::<u8>(), 42..60), any::<[bool; 2]>()).prop_map(|(operation, mut frame, ours)| {
        frame[12..22].copy_from_slice(&[0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, operation]);
        let address = ADDRESS.parse::<Ipv4Addr>().unwrap().octets();
        for (at, is_ours) in [28, 38].into_iter().zip(ours) {
            if is_ours {
                frame[at..at + 4].copy_from_slice(&address);
            }
        }
        frame
    });
    prop_oneof![vec(any::<u8>(), 0..120), of_arp]
}

/// A frame of any bytes, or one whose header is that of Neighbor Discovery.
fn ndp_frame() -> impl Strategy<Value = Vec<u8>> {
    let of_ndp = (any::<bool>(), vec(any::<u8>(), 78..120))
        .prop_map(|(solicits, frame)| ndp::tests::mended(frame, if solicits { 135 } else { 136 }));
    prop_oneof![vec(any::<u8>(), 0..120), of_ndp]
}

fn node() -> impl Strategy<Value = NodeName> {
    prop_oneof![Just("a"), Just("b"), Just("c"), Just(""), Just("unknown")].prop_map(NodeName::from)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..9_u64, any::<u64>(), Just(u64::MAX), Just(u64::MAX - 1)]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![Just(ADDRESS.parse().unwrap()), any::<IpAddr>()]
}

fn claims() -> impl Strategy<Value = Vec<Claim>> {
    let claim = (address(), number(), any::<bool>()).prop_map(|(address, epoch, held_back)| Claim {
        address,
        epoch,
        held_back,
    });
    vec(claim, 0..4)
}

fn networks() -> impl Strategy<Value = Vec<Network>> {
    let prefix = (any::<IpAddr>(), 0..=32_u8).prop_map(|(address, length)| ipnet::IpNet::new(address, length).unwrap());
    let network = (any::<[u8; 6]>(), vec(prefix, 0..3), any::<bool>()).prop_map(|(mac, addresses, carrier)| Network {
        interface: "eth0".to_owned(),
        mac,
        addresses,
        carrier,
    });
    vec(network, 0..3)
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::Heartbeat),
        Just(Message::Unwatch),
        node().prop_map(Message::Doubt),
        (node(), any::<bool>()).prop_map(|(node, on_lan)| Message::Suspect { node, on_lan }),
        node().prop_map(Message::Hears),
        Just(Message::Suspected),
        networks().prop_map(Message::Hello),
        (claims(), any::<bool>()).prop_map(|(claims, last)| Message::Claims { claims, last }),
        (node(), claims()).prop_map(|(node, claims)| {
            Message::Others(claims.into_iter().map(|claim| (node.clone(), claim)).collect())
        }),
        number().prop_map(Message::Behind),
        claims().prop_map(Message::YouOwn),
        Just(Message::Listening),
        claims().prop_map(Message::Released),
        vec(address(), 0..4).prop_map(Message::Yielded),
        any::<bool>().prop_map(|handover| Message::Leaving { handover }),
        vec(address(), 0..4).prop_map(Message::StandIn),
    ]
}

/// Takes in what has come, and gives back how much the speaker had to say to that.
fn go_on(speaker: &mut Speaker, now: Instant) -> usize {
    if speaker.next_timeout().is_some_and(|due| due <= now) {
        speaker.handle_timeout(now);
    }
    std::iter::from_fn(|| speaker.poll_output()).count()
}

proptest! {
    #[test]
    fn p5_whatever_frames_come_what_is_ours_goes_on_being_answered_for(
        soup in vec((any::<bool>(), 0..200_u64, arp_frame(), ndp_frame()), 0..60)
    ) {
        let (mut speaker, mut now, request) = alone();
        for (is_arp, time, arp, ndp) in soup {
            now += Duration::from_millis(time);
            if is_arp {
                speaker.handle_frame(now, 1, FrameKind::Arp, &arp);
            } else {
                speaker.handle_frame(now, 1, FrameKind::Ndp, &ndp);
            }
            prop_assert!(go_on(&mut speaker, now) < FLOOD);
        }
        prop_assert!(speaker.handle_frame(now, 1, FrameKind::Arp, &request).is_some());
    }

    #[test]
    fn any_bytes_as_messages_are_taken_in_without_harm(soup in vec((0..200_u64, vec(any::<u8>(), 0..120)), 0..60)) {
        let (mut speaker, mut now, request) = alone();
        for (time, bytes) in soup {
            now += Duration::from_millis(time);
            if let Ok(datagram) = Datagram::read(&bytes) {
                speaker.handle_datagram(now, [192, 0, 2, 251].into(), datagram);
            }
            prop_assert!(go_on(&mut speaker, now) < FLOOD);
        }
        prop_assert!(speaker.handle_frame(now, 1, FrameKind::Arp, &request).is_some());
    }

    /// Whoever has the key may say what it likes: nothing overflows, and no answer is a flood. When it has gone, all is as before.
    #[test]
    fn whatever_peers_say_does_no_lasting_harm(
        soup in vec((0..400_u64, node(), number(), number(), message()), 0..60)
    ) {
        let (mut speaker, mut now, request) = without(&["b", "c"]);
        for (time, from, boot, sequence, message) in soup {
            now += Duration::from_millis(time);
            let datagram = Datagram { from, to: "a".into(), boot, sequence, message };
            speaker.handle_datagram(now, [192, 0, 2, 251].into(), datagram);
            prop_assert!(go_on(&mut speaker, now) < FLOOD);
        }
        let end = now + Duration::from_secs(180);
        while now < end {
            now += STEP;
            prop_assert!(go_on(&mut speaker, now) < FLOOD);
        }
        prop_assert!(speaker.handle_frame(now, 1, FrameKind::Arp, &request).is_some());
    }
}
