//! The classic BPF programs that choose, in the kernel, the frames that a packet socket receives.
//! No other frame wakes the speaker.
//!
//! Two kinds of frames reach an interface although they are not for it:
//! - Unicast frames for another host. A switch floods them, or the interface is promiscuous.
//! - Frames of a VLAN. An answer to a request from another VLAN would go out untagged, to a network
//!   that did not ask.
//!
//! The kernel keeps a VLAN tag beside the frame, not in it. If no VLAN interface takes a frame of a
//! VLAN other than 0, the kernel marks it as for another host and discards the tag. It keeps the
//! tag on the ports of some switches (DSA), so the program checks both.
//!
//! The kernel does not count the frames that a filter rejects.

use libc::sock_filter as Instruction;
use lodestone_speaker_core::FrameKind;
use socket2::SockFilter;

/// How many bytes of a frame the socket receives.
const ACCEPT: u32 = 256;

/// Rejects a frame.
const REJECT: u32 = 0;

/// What the kernel knows about a frame beside its bytes: whom it is for, whether it had a VLAN tag,
/// and the tag. A load from such an offset does not read the frame.
const PACKET_TYPE: u32 = ancillary(libc::SKF_AD_PKTTYPE);
const HAS_VLAN_TAG: u32 = ancillary(libc::SKF_AD_VLAN_TAG_PRESENT);
const VLAN_TAG: u32 = ancillary(libc::SKF_AD_VLAN_TAG);

/// The packet types of frames for this host: unicast to its MAC, broadcast, and any multicast.
/// These constants of `if_packet.h` are not in `libc` for every C library.
// mutation: frames-for-other-hosts
const FOR_THIS_HOST: [u32; 3] = [0, 1, 2];

/// The bits of a VLAN tag that hold the number of the VLAN. The others hold the priority.
const VLAN_NUMBER: u32 = 0x0fff;

/// The VLAN number of a tag that only states a priority (IEEE 802.1Q, section 9.6).
const PRIORITY_ONLY: u32 = 0;

const fn ancillary(offset: libc::c_int) -> u32 {
    (libc::SKF_AD_OFF + offset).cast_unsigned()
}

/// Returns the program for the frames of one kind. The socket already receives only frames of the
/// right EtherType.
pub(super) fn program(kind: FrameKind) -> Vec<SockFilter> {
    let Program(instructions) = build(kind);
    let instruction = |one: Instruction| SockFilter::new(one.code, one.jt, one.jf, one.k);
    instructions.into_iter().map(instruction).collect()
}

fn build(kind: FrameKind) -> Program {
    let mut program = Program::default();
    program.load_word(PACKET_TYPE);
    program.require(&FOR_THIS_HOST);
    // mutation: frames-of-other-vlans
    program.require_no_foreign_vlan();
    if kind == FrameKind::Ndp {
        // The next header is ICMPv6, the hop limit is 255, and the type is a solicitation (135) or
        // an advertisement (136).
        for (offset, values) in [(20, &[58][..]), (21, &[255]), (54, &[135, 136])] {
            program.load_byte(offset);
            program.require(values);
        }
    }
    program.end(ACCEPT);
    program
}

/// `ldb`: loads one byte of the frame.
const LOAD_BYTE: u16 = 0x30;
/// `ld`: loads four bytes.
const LOAD_WORD: u16 = 0x20;
/// `and`: keeps these bits of the loaded value.
const AND: u16 = 0x54;
/// `jeq`: skips instructions if the loaded value is equal.
const SKIP_IF_EQUAL: u16 = 0x15;
/// `ret`: ends the program with a verdict.
const END: u16 = 0x06;

/// A program under construction. Each method appends instructions.
#[derive(Default)]
struct Program(Vec<Instruction>);

impl Program {
    fn push(&mut self, code: u16, skipped: u8, value: u32) {
        self.0.push(Instruction {
            code,
            jt: skipped,
            jf: 0,
            k: value,
        });
    }

    fn load_byte(&mut self, offset: u32) {
        self.push(LOAD_BYTE, 0, offset);
    }

    fn load_word(&mut self, offset: u32) {
        self.push(LOAD_WORD, 0, offset);
    }

    fn end(&mut self, verdict: u32) {
        self.push(END, 0, verdict);
    }

    /// Rejects the frame unless the loaded value is one of `values`.
    fn require(&mut self, values: &[u32]) {
        for (skipped, value) in (1..).zip(values.iter().rev()).collect::<Vec<_>>().into_iter().rev() {
            // Over the remaining comparisons, and over the rejection behind them.
            self.push(SKIP_IF_EQUAL, skipped, *value);
        }
        self.end(REJECT);
    }

    /// Rejects a frame with a VLAN tag, unless the tag only states a priority.
    fn require_no_foreign_vlan(&mut self) {
        self.load_word(HAS_VLAN_TAG);
        // Over the four instructions that follow.
        self.push(SKIP_IF_EQUAL, 4, 0);
        self.load_word(VLAN_TAG);
        self.push(AND, 0, VLAN_NUMBER);
        self.require(&[PRIORITY_ONLY]);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use lodestone_speaker_core::wire::{arp, ndp};
    use pnet_base::MacAddr;

    use super::*;

    /// What the kernel has beside the bytes of a frame.
    #[derive(Clone, Copy)]
    struct Metadata {
        packet_type: u32,
        vlan_tag: Option<u32>,
    }

    const UNTAGGED_BROADCAST: Metadata = Metadata {
        packet_type: 1,
        vlan_tag: None,
    };

    /// Runs a program as the kernel does.
    fn accepts(kind: FrameKind, metadata: Metadata, frame: &[u8]) -> bool {
        let Program(instructions) = build(kind);
        let (mut value, mut next) = (0, 0);
        loop {
            let Instruction { code, jt, jf, k } = instructions[next];
            next += 1;
            match (code, k) {
                (LOAD_WORD, PACKET_TYPE) => value = metadata.packet_type,
                (LOAD_WORD, HAS_VLAN_TAG) => value = metadata.vlan_tag.is_some().into(),
                (LOAD_WORD, VLAN_TAG) => value = metadata.vlan_tag.unwrap(),
                // A load beyond the end of the frame rejects it.
                (LOAD_BYTE, offset) => match frame.get(usize::try_from(offset).unwrap()) {
                    Some(byte) => value = u32::from(*byte),
                    None => return false,
                },
                (AND, mask) => value &= mask,
                (SKIP_IF_EQUAL, wanted) => next += usize::from(if value == wanted { jt } else { jf }),
                (END, verdict) => return verdict > 0,
                unknown => panic!("{unknown:?}"),
            }
        }
    }

    /// A frame of each kind that the speaker must see.
    fn frames() -> [(FrameKind, Vec<u8>); 3] {
        let mac = MacAddr(2, 0, 0, 0, 0, 1);
        let address: Ipv6Addr = "fd00::1".parse().unwrap();
        [
            (
                FrameKind::Arp,
                arp::request(mac, Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST).to_vec(),
            ),
            (FrameKind::Ndp, ndp::solicitation(mac, None, address)),
            (
                FrameKind::Ndp,
                ndp::unsolicited_advertisement(mac, None, address).to_vec(),
            ),
        ]
    }

    #[test]
    fn frames_for_other_hosts_are_refused() {
        for (kind, frame) in frames() {
            for (packet_type, expected) in [(0, true), (1, true), (2, true), (3, false), (4, false), (5, false)] {
                let metadata = Metadata {
                    packet_type,
                    ..UNTAGGED_BROADCAST
                };
                assert_eq!(
                    accepts(kind, metadata, &frame),
                    expected,
                    "{kind:?}, type {packet_type}"
                );
            }
        }
    }

    #[test]
    fn of_the_vlan_tags_only_priority_tags_are_accepted() {
        for (kind, frame) in frames() {
            for (tag, expected) in [
                (0, true),
                (0xa000, true),
                (0xf000, true),
                (55, false),
                (0xa037, false),
                (0xfff, false),
            ] {
                let metadata = Metadata {
                    vlan_tag: Some(tag),
                    ..UNTAGGED_BROADCAST
                };
                assert_eq!(accepts(kind, metadata, &frame), expected, "{kind:?}, tag {tag:#x}");
            }
        }
    }

    #[test]
    fn of_ipv6_only_neighbor_discovery_from_this_link_is_accepted() {
        let [_, (kind, solicitation), _] = frames();
        for (at, byte) in [(20, 17), (21, 64), (54, 134), (54, 137)] {
            let mut frame = solicitation.clone();
            frame[at] = byte;
            assert!(!accepts(kind, UNTAGGED_BROADCAST, &frame), "{byte} at {at}");
        }
        assert!(!accepts(kind, UNTAGGED_BROADCAST, &solicitation[..54]));
    }
}
