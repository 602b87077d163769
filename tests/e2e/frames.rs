//! Which frames reach the speaker: its real packet sockets on one end of a cable, frames from the
//! other end.
//!
//! The sender writes the VLAN tags into the frames. The kernel of the receiver takes them out, as
//! it does for a network card.

use std::{net::Ipv4Addr, time::Duration};

use lodestone_speaker::net::frame_sockets::FrameSockets;
use lodestone_speaker_core::{
    FrameKind, InterfaceIndex,
    wire::{arp, ndp},
};
use lodestone_tests::{Netns, run};
use pnet_base::MacAddr;
use tokio::time::timeout;

use crate::support::frame_sockets;

/// The MAC of the interface whose sockets are tested.
const HOST: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
/// The MAC of the other end of the cable.
const SENDER: MacAddr = MacAddr(2, 0, 0, 0, 0, 2);
/// A MAC that nobody has.
const OTHER_HOST: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);

/// The EtherTypes of VLAN tags: of a customer (802.1Q) and of a provider (802.1ad).
const CUSTOMER_TAG: u16 = 0x8100;
const PROVIDER_TAG: u16 = 0x88a8;
/// A VLAN tag with priority 5. The number of a VLAN may be added.
const PRIORITY: u16 = 5 << 13;
/// A VLAN that the host does not have.
const FOREIGN_VLAN: u16 = 55;

/// How long a frame may take, at most.
const LIMIT: Duration = Duration::from_secs(10);

/// The frames that the sender sends before the last one, each with what it is. Only those that the
/// speaker must see have `true`.
fn frames(frame: &[u8]) -> Vec<(&'static str, bool, Vec<u8>)> {
    let to_host = with_destination(frame, HOST);
    let to_other = with_destination(frame, OTHER_HOST);
    vec![
        ("untagged", true, frame.to_vec()),
        ("to the MAC of the host", true, to_host.clone()),
        ("to another MAC", false, to_other.clone()),
        ("of another VLAN", false, tagged(frame, CUSTOMER_TAG, FOREIGN_VLAN)),
        (
            "of another VLAN, with a priority",
            false,
            tagged(frame, CUSTOMER_TAG, PRIORITY | FOREIGN_VLAN),
        ),
        (
            "of another VLAN, to the MAC of the host",
            false,
            tagged(&to_host, CUSTOMER_TAG, FOREIGN_VLAN),
        ),
        (
            "of another VLAN, with a provider tag",
            false,
            tagged(frame, PROVIDER_TAG, FOREIGN_VLAN),
        ),
        (
            "of another VLAN inside a priority tag",
            false,
            tagged(&tagged(frame, CUSTOMER_TAG, FOREIGN_VLAN), CUSTOMER_TAG, PRIORITY),
        ),
        ("with a priority tag", true, tagged(frame, CUSTOMER_TAG, PRIORITY)),
        ("with an empty tag", true, tagged(frame, CUSTOMER_TAG, 0)),
        (
            "with a priority tag, to the MAC of the host",
            true,
            tagged(&to_host, CUSTOMER_TAG, PRIORITY),
        ),
        (
            "with a priority tag, to another MAC",
            false,
            tagged(&to_other, CUSTOMER_TAG, PRIORITY),
        ),
    ]
}

fn with_destination(frame: &[u8], mac: MacAddr) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[..6].copy_from_slice(&<[u8; 6]>::from(mac));
    frame
}

/// Inserts a VLAN tag behind the MACs.
fn tagged(frame: &[u8], ethertype: u16, tag: u16) -> Vec<u8> {
    let (macs, rest) = frame.split_at(12);
    [macs, &ethertype.to_be_bytes(), &tag.to_be_bytes(), rest].concat()
}

/// A network namespace with a cable between `host` and `sender`. Dropping it deletes the namespace.
struct FrameCable(Netns);

impl FrameCable {
    fn new(name: &str) -> Self {
        let cable = Self(Netns::new(format!("f{}-{name}", std::process::id())));
        cable.0.create().unwrap();
        // Only the frames of the test: the kernel sends none without an address.
        let lines = [
            format!("link add host index 11 address {HOST} type veth peer name sender index 12 address {SENDER}"),
            "link set host addrgenmode none up".to_owned(),
            "link set sender addrgenmode none up".to_owned(),
        ];
        cable.0.ip_batch(&lines).unwrap();
        cable
    }

    /// Sends frames from the sender. Returns those that the sockets of the host receive, up to
    /// `last`.
    fn received(&self, kind: FrameKind, frames: &[Vec<u8>], last: &[u8]) -> Vec<Vec<u8>> {
        let exchange = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut host = frame_sockets("host", InterfaceIndex(11), HOST);
                let sender = frame_sockets("sender", InterfaceIndex(12), SENDER);
                for frame in frames.iter().map(Vec::as_slice).chain([last]) {
                    sender.send(InterfaceIndex(12), frame)?;
                }
                let (mut received, mut buffer) = (Vec::new(), FrameSockets::buffer());
                loop {
                    let (_, of_kind, length) = timeout(LIMIT, host.receive(&mut buffer)).await?;
                    let frame = &buffer[..length];
                    if of_kind == kind && frame == last {
                        assert_eq!(host.count_dropped(), 0);
                        return Ok(received);
                    }
                    received.push(frame.to_vec());
                }
            })
        };
        self.0.within(exchange).unwrap()
    }
}

impl Drop for FrameCable {
    fn drop(&mut self) {
        if let Err(error) = run("ip", &["netns", "delete", self.0.name()]) {
            eprintln!("{error:#}");
        }
    }
}

/// Sends each variant of `frame` and asserts that the speaker sees the right ones, without tags.
fn assert_only_frames_for_us_arrive(name: &str, kind: FrameKind, frame: &[u8], last: &[u8]) {
    let cable = FrameCable::new(name);
    for (what, expected, variant) in frames(frame) {
        let to_host = variant[..6] == <[u8; 6]>::from(HOST);
        let untagged = if to_host {
            with_destination(frame, HOST)
        } else {
            frame.to_vec()
        };
        let received = cable.received(kind, &[variant], last);
        let expected = if expected { vec![untagged] } else { vec![] };
        assert_eq!(received, expected, "a frame {what}");
    }
}

#[test]
fn arp_frames_for_other_vlans_and_hosts_do_not_arrive() {
    let request = |target: [u8; 4]| arp::request(SENDER, Ipv4Addr::new(192, 0, 2, 2), target.into());
    let (frame, last) = (request([192, 0, 2, 1]), request([192, 0, 2, 99]));
    assert_only_frames_for_us_arrive("arp", FrameKind::Arp, &frame, &last);
}

#[test]
fn ndp_frames_for_other_vlans_and_hosts_do_not_arrive() {
    let request = |target: &str| ndp::solicitation(SENDER, Some("fe80::2".parse().unwrap()), target.parse().unwrap());
    let (frame, last) = (request("fd00::1"), request("fd00::99"));
    assert_only_frames_for_us_arrive("ndp", FrameKind::Ndp, &frame, &last);
}

#[test]
fn frames_that_nobody_reads_in_time_are_counted() {
    let cable = FrameCable::new("full");
    let flood = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut host = frame_sockets("host", InterfaceIndex(11), HOST);
            let sender = frame_sockets("sender", InterfaceIndex(12), SENDER);
            let request = arp::request(SENDER, Ipv4Addr::new(192, 0, 2, 2), Ipv4Addr::new(192, 0, 2, 1));
            // The buffer holds about 2 MiB, at almost a kilobyte for each frame.
            for _ in 0..10_000 {
                sender.send(InterfaceIndex(12), &request)?;
            }
            let dropped = host.count_dropped();
            assert!((1..10_000).contains(&dropped), "{dropped}");
            // They stay counted when the interface goes away.
            sender.send(InterfaceIndex(12), &request)?;
            host.follow(&[]);
            assert_eq!(host.count_dropped(), dropped + 1);
            Ok(())
        })
    };
    cable.0.within(flood).unwrap();
}
