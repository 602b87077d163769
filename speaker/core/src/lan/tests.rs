use super::*;
use crate::{
    borrow::turn,
    output::Output,
    settings::ConflictDetectionMode,
    test_support::{Parts, ip},
    testing::{ADDRESS, ethernet},
    timers::Timer,
    wire::{
        FrameKind,
        arp::{self, ArpPacket},
        ndp::{self, NdpPacket},
    },
};

mod announcements;
mod answers;
mod foreign_hosts;

const ADDRESS_V6: &str = "2001:db8::1";
const CLIENT: MacAddr = MacAddr(2, 9, 9, 9, 9, 9);
const ETH0: InterfaceIndex = InterfaceIndex(1);
const ETH1: InterfaceIndex = InterfaceIndex(2);

/// This node owns these addresses on `eth0`. Its announcements are out of the way.
fn owning(addresses: &[&str]) -> Parts {
    let mut parts = Parts::new(&["a", "b"], addresses);
    own(&mut parts, addresses, &[]);
    parts.lan.send_due_announcements(turn!(parts, parts.now));
    parts.drain();
    parts
}

fn own(parts: &mut Parts, addresses: &[&str], tentative: &[&str]) {
    let wanted = addresses
        .iter()
        .map(|address| (ip(address), parts.announcement(address)));
    let wanted = wanted.collect();
    let tentative = tentative.iter().map(|address| ip(address));
    parts.lan.set_owned(turn!(parts, parts.now), wanted, tentative);
}

/// An ARP request of a client for `target`.
fn arp_request(target: &str) -> Vec<u8> {
    let target = target.parse().unwrap();
    arp::request(CLIENT, [192, 0, 2, 99].into(), target).into()
}

/// The gratuitous ARP by which a host claims `address`.
fn arp_claim(mac: MacAddr, address: &str) -> Vec<u8> {
    arp::gratuitous(mac, address.parse().unwrap())[0].into()
}

fn handle(parts: &mut Parts, interface: InterfaceIndex, frame: &[u8]) -> FrameOutcome {
    let kind = if frame.get(12..14) == Some(&[0x86, 0xdd]) {
        FrameKind::Ndp
    } else {
        FrameKind::Arp
    };
    parts.lan.handle_frame(turn!(parts, parts.now), interface, kind, frame)
}

/// Whether the frame is answered on `eth0`.
fn is_answered(parts: &mut Parts, frame: &[u8]) -> bool {
    handle(parts, ETH0, frame).reply.is_some()
}

/// The addresses that are announced now, each as often as frames go out.
fn announced_now(parts: &mut Parts) -> Vec<IpAddr> {
    parts.lan.send_due_announcements(turn!(parts, parts.now));
    let frames = parts.drain().frames;
    let address = |frame: &Vec<u8>| match ArpPacket::parse(frame) {
        Some(packet) => packet.sender.into(),
        None => match NdpPacket::parse(frame) {
            Some(NdpPacket::Advertisement(advertisement)) => advertisement.target.into(),
            other => panic!("{other:?}"),
        },
    };
    frames.iter().map(address).collect()
}

fn duty(parts: &Parts, address: &str) -> BTreeMap<IpAddr, DeputyDuty> {
    let duty = DeputyDuty {
        owner: "b".into(),
        ports: vec![(parts.port(), parts.mac("b"))],
    };
    [(ip(address), duty)].into()
}

/// The Ethernet source of an answer, and the MAC that it names.
fn macs_of_reply(reply: &[u8]) -> (MacAddr, MacAddr) {
    if let Some(packet) = ArpPacket::parse(reply) {
        return (packet.source, packet.sender_mac);
    }
    match NdpPacket::parse(reply) {
        Some(NdpPacket::Advertisement(advertisement)) => {
            (advertisement.source, advertisement.target_mac.unwrap_or_default())
        }
        other => panic!("{other:?}"),
    }
}

fn set_peer_macs(parts: &mut Parts, macs: BTreeMap<MacAddr, NodeName>) {
    let turn = turn!(parts, parts.now);
    parts.lan.set_peer_macs(turn, macs);
}
