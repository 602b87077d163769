//! Sequences of arbitrary frames and messages. None of them breaks the speaker, floods the network,
//! or ends the answers for an owned address.

use std::net::Ipv4Addr;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    testing::{announcing_speaker, announcing_speaker_among},
    wire::message::Network,
};

/// No input may cause this many outputs.
const FLOOD: usize = 200;

/// The only interface of the speaker.
const INTERFACE: InterfaceIndex = InterfaceIndex(1);

/// Arbitrary bytes, or an ARP frame with a valid header, of which the parser reads more.
fn arp_frame() -> impl Strategy<Value = Vec<u8>> {
    let parts = (0..3_u8, vec(any::<u8>(), 42..60), any::<[bool; 2]>());
    let with_header = parts.prop_map(|(operation, mut frame, ours)| {
        frame[12..22].copy_from_slice(&[0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, operation]);
        let address = ADDRESS.parse::<Ipv4Addr>().unwrap().octets();
        for (offset, is_ours) in [28, 38].into_iter().zip(ours) {
            if is_ours {
                frame[offset..offset + 4].copy_from_slice(&address);
            }
        }
        frame
    });
    prop_oneof![vec(any::<u8>(), 0..120), with_header]
}

/// Arbitrary bytes, or an NDP frame with a valid header.
fn ndp_frame() -> impl Strategy<Value = Vec<u8>> {
    let parts = (any::<bool>(), vec(any::<u8>(), 78..120));
    let with_header = parts.prop_map(|(solicits, frame)| {
        let kind = if solicits { 135 } else { 136 };
        ndp::tests::with_valid_headers(frame, kind)
    });
    prop_oneof![vec(any::<u8>(), 0..120), with_header]
}

fn node() -> impl Strategy<Value = NodeName> {
    prop_oneof![Just("a"), Just("b"), Just("c"), Just(""), Just("unknown")].prop_map(NodeName::from)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..9_u64, any::<u64>(), Just(u64::MAX), Just(u64::MAX - 1)]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![Just(ip(ADDRESS)), any::<IpAddr>()]
}

fn claims() -> impl Strategy<Value = Vec<Claim>> {
    let claim = (address(), number(), any::<bool>()).prop_map(|(address, epoch, tentative)| Claim {
        address,
        epoch: Epoch(epoch),
        tentative,
    });
    vec(claim, 0..4)
}

fn networks() -> impl Strategy<Value = Vec<Network>> {
    let prefix = (any::<IpAddr>(), 0..=32_u8).prop_map(|(address, length)| ipnet::IpNet::new(address, length).unwrap());
    let network = (any::<[u8; 6]>(), vec(prefix, 0..3), any::<bool>()).prop_map(|(mac, addresses, usable)| Network {
        interface: "eth0".to_owned(),
        mac: mac.into(),
        addresses,
        usable,
    });
    vec(network, 0..3)
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::Heartbeat),
        Just(Message::Unwatch),
        node().prop_map(Message::Suspect),
        (node(), any::<bool>()).prop_map(|(node, lan_only)| Message::Failed { node, lan_only }),
        (node(), vec(Just("eth0".to_owned()), 0..2)).prop_map(|(node, networks)| Message::FailedOn {
            node,
            networks: networks.into_iter().collect(),
        }),
        node().prop_map(Message::Recovered),
        Just(Message::WasFailed),
        networks().prop_map(Message::Hello),
        (claims(), any::<bool>()).prop_map(|(claims, last)| Message::Claims { claims, last }),
        (node(), claims()).prop_map(|(node, claims)| {
            Message::RelayedClaims(claims.into_iter().map(|claim| (node.clone(), claim)).collect())
        }),
        number().prop_map(|boot| Message::StaleBoot(BootId(boot))),
        claims().prop_map(Message::YourClaims),
        Just(Message::Listening),
        claims().prop_map(Message::Released),
        vec(address(), 0..4).prop_map(Message::Yielded),
        any::<bool>().prop_map(|handover| Message::Leaving { handover }),
        vec(address(), 0..4).prop_map(Message::DeputyFor),
        vec(address(), 0..4).prop_map(Message::Offer),
    ]
}

/// Handles the timeout if it is due. Returns the number of outputs since the last call.
fn count_outputs(speaker: &mut Speaker, now: Instant) -> usize {
    if speaker.next_timeout().is_some_and(|due| due <= now) {
        speaker.handle_timeout(now);
    }
    std::iter::from_fn(|| speaker.poll_output()).count()
}

proptest! {
    #[test]
    fn p5_arbitrary_frames_do_not_end_the_answers_for_owned_addresses(
        inputs in vec((any::<bool>(), 0..200_u64, arp_frame(), ndp_frame()), 0..60)
    ) {
        let (mut speaker, mut now, request) = announcing_speaker();
        for (is_arp, pause, arp, ndp) in inputs {
            now += Duration::from_millis(pause);
            if is_arp {
                speaker.handle_frame(now, INTERFACE, FrameKind::Arp, &arp);
            } else {
                speaker.handle_frame(now, INTERFACE, FrameKind::Ndp, &ndp);
            }
            prop_assert!(count_outputs(&mut speaker, now) < FLOOD);
        }
        prop_assert!(speaker.handle_frame(now, INTERFACE, FrameKind::Arp, &request).is_some());
    }

    #[test]
    fn arbitrary_bytes_as_messages_do_no_harm(inputs in vec((0..200_u64, vec(any::<u8>(), 0..120)), 0..60)) {
        let (mut speaker, mut now, request) = announcing_speaker();
        for (pause, bytes) in inputs {
            now += Duration::from_millis(pause);
            if let Ok(datagram) = Datagram::decode(&bytes) {
                speaker.handle_datagram(now, [192, 0, 2, 251].into(), datagram);
            }
            prop_assert!(count_outputs(&mut speaker, now) < FLOOD);
        }
        prop_assert!(speaker.handle_frame(now, INTERFACE, FrameKind::Arp, &request).is_some());
    }

    /// An attacker with the key can send any message. Nothing overflows, and no reply is a flood.
    /// Three minutes after the last message the speaker works as before.
    #[test]
    fn arbitrary_messages_of_peers_do_no_lasting_harm(
        inputs in vec((0..400_u64, node(), number(), number(), message()), 0..60)
    ) {
        let (mut speaker, mut now, request) = announcing_speaker_among(&["b", "c"]);
        for (pause, from, boot, sequence, message) in inputs {
            now += Duration::from_millis(pause);
            let datagram = Datagram { from, to: "a".into(), boot: BootId(boot), sequence, message };
            speaker.handle_datagram(now, [192, 0, 2, 251].into(), datagram);
            prop_assert!(count_outputs(&mut speaker, now) < FLOOD);
        }
        let end = now + Duration::from_secs(180);
        while now < end {
            now += STEP;
            prop_assert!(count_outputs(&mut speaker, now) < FLOOD);
        }
        prop_assert!(speaker.handle_frame(now, INTERFACE, FrameKind::Arp, &request).is_some());
    }
}
