//! ARP for IPv4 over Ethernet (RFC 826).
//!
//! Parses requests and replies. Builds requests, probes (RFC 5227, section 2.1.1), replies and
//! gratuitous ARP.

use std::net::Ipv4Addr;

use pnet_packet::{
    arp::{ArpHardwareTypes, ArpOperation, ArpOperations, MutableArpPacket},
    ethernet::{EtherTypes, MutableEthernetPacket},
};

use crate::types::MacAddr;

/// Length of an Ethernet header, in bytes.
const ETHERNET_LEN: usize = 14;
/// Length of an ARP packet for IPv4 over Ethernet, in bytes.
const ARP_LEN: usize = 28;
/// Length of every frame that this module builds, in bytes. The network interface adds the padding.
pub const ARP_FRAME_LEN: usize = ETHERNET_LEN + ARP_LEN;

/// The constant bytes from the EtherType to the address lengths: ARP, hardware type Ethernet,
/// protocol type IPv4, hardware address length 6, protocol address length 4.
const FIXED_FIELDS: [u8; 8] = [0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4];

/// A parsed ARP request or reply, with the addresses of its Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpPacket {
    /// Ethernet destination: broadcast, or unicast when a host revalidates an entry of its cache.
    pub destination: MacAddr,
    /// Ethernet source. A deputy has its own MAC here, and the owner's MAC in `sender_mac`.
    pub source: MacAddr,
    /// Whether the operation is a reply; otherwise it is a request.
    pub reply: bool,
    /// Sender hardware address, from the ARP packet.
    pub sender_mac: MacAddr,
    /// Sender protocol address; 0.0.0.0 in a probe (RFC 5227, section 1.1).
    pub sender: Ipv4Addr,
    /// Target protocol address: the address that a request asks for, or the requester of a reply.
    pub target: Ipv4Addr,
}

impl ArpPacket {
    /// Parses a frame. Trailing padding is ignored.
    ///
    /// Returns `None` unless the frame is a well-formed ARP request or reply for IPv4 over
    /// Ethernet.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let frame: &[u8; ARP_FRAME_LEN] = frame.first_chunk()?;
        let mac = |at: usize| Some(MacAddr::from(*frame.get(at..)?.first_chunk::<6>()?));
        let ip = |at: usize| Some(Ipv4Addr::from(*frame.get(at..)?.first_chunk::<4>()?));
        let reply = match frame
            .get(12..20)?
            .strip_prefix(&FIXED_FIELDS)
            .and(frame.get(20..22)?.first_chunk())?
        {
            [0, 1] => false,
            [0, 2] => true,
            _ => return None,
        };
        Some(Self {
            destination: mac(0)?,
            source: mac(6)?,
            reply,
            sender_mac: mac(22)?,
            sender: ip(28)?,
            target: ip(38)?,
        })
    }

    /// Builds the reply to this request: the target address is at `mac`.
    ///
    /// `source` becomes the Ethernet source. It differs from `mac` when a deputy replies for the
    /// owner.
    #[must_use]
    pub fn reply(&self, source: MacAddr, mac: MacAddr) -> [u8; ARP_FRAME_LEN] {
        build(&ArpFields {
            destination: self.sender_mac,
            source,
            operation: ArpOperations::Reply,
            sender_mac: mac,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
        })
    }
}

/// Builds two broadcast gratuitous ARP frames, a request and a reply, that announce `address` at
/// `mac`.
///
/// Both are needed: some hosts update their caches from requests only, others from replies only.
#[must_use]
pub fn gratuitous(mac: MacAddr, address: Ipv4Addr) -> [[u8; ARP_FRAME_LEN]; 2] {
    [ArpOperations::Request, ArpOperations::Reply].map(|operation| {
        build(&ArpFields {
            destination: MacAddr::broadcast(),
            source: mac,
            operation,
            sender_mac: mac,
            sender: address,
            target_mac: MacAddr::broadcast(),
            target: address,
        })
    })
}

/// Builds a broadcast request for `target`.
///
/// With `sender` 0.0.0.0 the request is a probe (RFC 5227, section 2.1.1), which updates no caches.
#[must_use]
pub fn request(mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> [u8; ARP_FRAME_LEN] {
    build(&ArpFields {
        destination: MacAddr::broadcast(),
        source: mac,
        operation: ArpOperations::Request,
        sender_mac: mac,
        sender,
        target_mac: MacAddr::zero(),
        target,
    })
}

/// The variable fields of a frame.
struct ArpFields {
    destination: MacAddr,
    source: MacAddr,
    operation: ArpOperation,
    sender_mac: MacAddr,
    sender: Ipv4Addr,
    target_mac: MacAddr,
    target: Ipv4Addr,
}

fn build(fields: &ArpFields) -> [u8; ARP_FRAME_LEN] {
    let mut frame = [0; ARP_FRAME_LEN];
    let (header, packet) = frame.split_at_mut(ETHERNET_LEN);
    // Both constructors succeed, because each buffer has exactly the length of its packet.
    if let (Some(mut ethernet), Some(mut arp)) = (MutableEthernetPacket::new(header), MutableArpPacket::new(packet)) {
        ethernet.set_destination(fields.destination);
        ethernet.set_source(fields.source);
        ethernet.set_ethertype(EtherTypes::Arp);
        arp.set_hardware_type(ArpHardwareTypes::Ethernet);
        arp.set_protocol_type(EtherTypes::Ipv4);
        arp.set_hw_addr_len(6);
        arp.set_proto_addr_len(4);
        arp.set_operation(fields.operation);
        arp.set_sender_hw_addr(fields.sender_mac);
        arp.set_sender_proto_addr(fields.sender);
        arp.set_target_hw_addr(fields.target_mac);
        arp.set_target_proto_addr(fields.target);
    }
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
    const THEIRS: MacAddr = MacAddr(2, 0, 0, 0, 0, 2);
    const REQUESTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    fn request() -> [u8; ARP_FRAME_LEN] {
        super::request(THEIRS, REQUESTER, ADDRESS)
    }

    #[test]
    fn request_and_reply_match_the_bytes_of_rfc_826() {
        // Written by hand from RFC 826.
        let wire = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8, 6, // Ethernet: broadcast, from THEIRS, ARP
            0, 1, 8, 0, 6, 4, 0, 1, // Ethernet, IPv4, lengths, request
            2, 0, 0, 0, 0, 2, 192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1,
        ];
        assert_eq!(request(), wire);
        let parsed = ArpPacket::parse(&wire).unwrap();
        let expected = ArpPacket {
            destination: MacAddr::broadcast(),
            source: THEIRS,
            reply: false,
            sender_mac: THEIRS,
            sender: REQUESTER,
            target: ADDRESS,
        };
        assert_eq!(parsed, expected);
        let reply = [
            2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 6, // Ethernet: to THEIRS, from OURS, ARP
            0, 1, 8, 0, 6, 4, 0, 2, // reply
            2, 0, 0, 0, 0, 1, 192, 0, 2, 1, 2, 0, 0, 0, 0, 2, 192, 0, 2, 9,
        ];
        assert_eq!(parsed.reply(OURS, OURS), reply);
        let parsed = ArpPacket::parse(&reply).unwrap();
        assert_eq!(
            (parsed.reply, parsed.source, parsed.sender_mac, parsed.sender),
            (true, OURS, OURS, ADDRESS)
        );
    }

    #[test]
    fn deputy_reply_has_owner_mac_in_packet_and_own_mac_in_frame() {
        let owner = MacAddr(2, 0, 0, 0, 0, 7);
        let frame = ArpPacket::parse(&request()).unwrap().reply(OURS, owner);
        let parsed = ArpPacket::parse(&frame).unwrap();
        assert_eq!((parsed.source, parsed.sender_mac), (OURS, owner));
    }

    #[test]
    fn probe_is_parsed_as_request_and_padding_is_ignored() {
        let mut padded = request().to_vec();
        padded[28..32].fill(0);
        padded.extend([0; 18]);
        assert_eq!(ArpPacket::parse(&padded).unwrap().sender, Ipv4Addr::UNSPECIFIED);
    }

    #[test]
    fn frames_other_than_arp_for_ipv4_over_ethernet_are_refused() {
        for (offset, value) in [
            (12, 0x86),
            (15, 6),
            (16, 0x86),
            (18, 8),
            (19, 16),
            (21, 3),
            (21, 0),
            (20, 1),
        ] {
            let mut frame = request();
            frame[offset] = value;
            assert_eq!(ArpPacket::parse(&frame), None, "offset {offset}");
        }
        for length in 0..ARP_FRAME_LEN {
            assert_eq!(ArpPacket::parse(&request()[..length]), None);
        }
    }

    #[test]
    fn gratuitous_arp_is_a_request_and_a_reply_with_the_same_body() {
        let [request, reply] = gratuitous(OURS, ADDRESS);
        let parsed = ArpPacket::parse(&request).unwrap();
        assert_eq!(
            (parsed.sender_mac, parsed.sender, parsed.target),
            (OURS, ADDRESS, ADDRESS)
        );
        assert_eq!(
            (request[..6].to_vec(), request[20..22].to_vec()),
            (vec![0xff; 6], vec![0, 1])
        );
        assert_eq!(
            (reply[..6].to_vec(), reply[20..22].to_vec()),
            (vec![0xff; 6], vec![0, 2])
        );
        assert_eq!(reply[22..], request[22..]);
    }

    proptest! {
        #[test]
        fn arp_parser_accepts_arbitrary_bytes_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = ArpPacket::parse(&bytes);
        }

        #[test]
        fn parser_inverts_builder(sender: [u8; 4], target: [u8; 4], mac: [u8; 6], destination: [u8; 6]) {
            let expected = ArpPacket {
                destination: destination.into(), source: mac.into(), reply: false, sender_mac: mac.into(), sender: sender.into(), target: target.into(),
            };
            let frame = build(&ArpFields {
                destination: expected.destination, source: expected.sender_mac, operation: ArpOperations::Request,
                sender_mac: expected.sender_mac, sender: expected.sender, target_mac: MacAddr::zero(), target: expected.target,
            });
            prop_assert_eq!(ArpPacket::parse(&frame), Some(expected));
        }
    }
}
