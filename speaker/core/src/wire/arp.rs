//! ARP over Ethernet (RFC 826): requests and replies are read; requests, probes (RFC 5227), replies and gratuitous packets are built.

use std::net::Ipv4Addr;

use pnet_base::MacAddr;
use pnet_packet::{
    arp::{ArpHardwareTypes, ArpOperation, ArpOperations, MutableArpPacket},
    ethernet::{EtherTypes, MutableEthernetPacket},
};

/// How long an Ethernet header is.
const ETHERNET: usize = 14;
/// How long an ARP packet for IPv4 over Ethernet is.
const ARP: usize = 28;
/// How long the frames are that are built here; the network interface pads them.
pub const FRAME: usize = ETHERNET + ARP;

/// What every packet here begins with, from the type of the Ethernet frame on: ARP, Ethernet, IPv4, lengths 6 and 4.
const KIND: [u8; 8] = [0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4];

/// A request for an address, or a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where the frame was sent to: broadcast, or one host that a neighbour wants to hear from again.
    pub destination: MacAddr,
    /// Where the frame came from: whoever answers for another has put that one's MAC into the packet, not here.
    pub source: MacAddr,
    /// Whether it is a reply.
    pub reply: bool,
    /// The MAC of whoever asks or answers, as the packet says.
    pub sender_mac: MacAddr,
    /// The address of whoever asks or answers; 0.0.0.0 in a probe (RFC 5227).
    pub sender: Ipv4Addr,
    /// The address that is asked for, or of whoever is answered.
    pub target: Ipv4Addr,
}

impl Packet {
    /// Reads a frame. `None` for whatever is not a well-formed ARP request or reply for IPv4 over Ethernet.
    #[must_use]
    pub fn read(frame: &[u8]) -> Option<Self> {
        let frame: &[u8; FRAME] = frame.first_chunk()?;
        let mac = |at: usize| Some(MacAddr::from(*frame.get(at..)?.first_chunk::<6>()?));
        let ip = |at: usize| Some(Ipv4Addr::from(*frame.get(at..)?.first_chunk::<4>()?));
        let reply = match frame
            .get(12..20)?
            .strip_prefix(&KIND)
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

    /// The answer to it: that the address is at `mac`. The frame comes from `source`, which is another when it is given for another host.
    #[must_use]
    pub fn answer(&self, source: MacAddr, mac: MacAddr) -> [u8; FRAME] {
        build(&Fields {
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

/// The two gratuitous frames that tell every neighbour on the segment that `address` is at `mac`: some take a request, some a reply.
#[must_use]
pub fn gratuitous(mac: MacAddr, address: Ipv4Addr) -> [[u8; FRAME]; 2] {
    [ArpOperations::Request, ArpOperations::Reply].map(|operation| {
        build(&Fields {
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

/// Asks everybody who has `target`; without a sender's address it is a probe (RFC 5227, section 2.1.1).
#[must_use]
pub fn request(mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> [u8; FRAME] {
    build(&Fields {
        destination: MacAddr::broadcast(),
        source: mac,
        operation: ArpOperations::Request,
        sender_mac: mac,
        sender,
        target_mac: MacAddr::zero(),
        target,
    })
}

struct Fields {
    destination: MacAddr,
    source: MacAddr,
    operation: ArpOperation,
    sender_mac: MacAddr,
    sender: Ipv4Addr,
    target_mac: MacAddr,
    target: Ipv4Addr,
}

fn build(fields: &Fields) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    let (header, packet) = frame.split_at_mut(ETHERNET);
    // Both buffers have just the length that their packets need.
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
    const ASKER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    fn request() -> [u8; FRAME] {
        super::request(THEIRS, ASKER, ADDRESS)
    }

    #[test]
    fn a_request_is_answered_to_whoever_asked_bit_by_bit() {
        // Written out by hand from RFC 826.
        let wire = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8, 6, // Ethernet: to all, from THEIRS, ARP
            0, 1, 8, 0, 6, 4, 0, 1, // Ethernet, IPv4, lengths, request
            2, 0, 0, 0, 0, 2, 192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1,
        ];
        assert_eq!(request(), wire);
        let read = Packet::read(&wire).unwrap();
        let wanted = Packet {
            destination: MacAddr::broadcast(),
            source: THEIRS,
            reply: false,
            sender_mac: THEIRS,
            sender: ASKER,
            target: ADDRESS,
        };
        assert_eq!(read, wanted);
        let reply = [
            2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 6, // Ethernet: to THEIRS, from OURS, ARP
            0, 1, 8, 0, 6, 4, 0, 2, // reply
            2, 0, 0, 0, 0, 1, 192, 0, 2, 1, 2, 0, 0, 0, 0, 2, 192, 0, 2, 9,
        ];
        assert_eq!(read.answer(OURS, OURS), reply);
        let heard = Packet::read(&reply).unwrap();
        assert_eq!(
            (heard.reply, heard.source, heard.sender_mac, heard.sender),
            (true, OURS, OURS, ADDRESS)
        );
    }

    #[test]
    fn an_answer_for_another_host_has_its_mac_in_the_packet_and_not_in_the_frame() {
        let other = MacAddr(2, 0, 0, 0, 0, 7);
        let frame = Packet::read(&request()).unwrap().answer(OURS, other);
        let heard = Packet::read(&frame).unwrap();
        assert_eq!((heard.source, heard.sender_mac), (OURS, other));
    }

    #[test]
    fn a_probe_with_no_sender_address_is_a_request_and_padding_is_ignored() {
        let mut padded = request().to_vec();
        padded[28..32].fill(0);
        padded.extend([0; 18]);
        assert_eq!(Packet::read(&padded).unwrap().sender, Ipv4Addr::UNSPECIFIED);
    }

    #[test]
    fn whatever_is_no_packet_for_ipv4_over_ethernet_is_dropped() {
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
            assert_eq!(Packet::read(&frame), None, "offset {offset}");
        }
        for length in 0..FRAME {
            assert_eq!(Packet::read(&request()[..length]), None);
        }
    }

    #[test]
    fn gratuitous_frames_are_a_request_and_a_reply_for_the_address_by_itself() {
        let [request, reply] = gratuitous(OURS, ADDRESS);
        let read = Packet::read(&request).unwrap();
        assert_eq!((read.sender_mac, read.sender, read.target), (OURS, ADDRESS, ADDRESS));
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
        fn any_bytes_are_read_or_dropped(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Packet::read(&bytes);
        }

        #[test]
        fn what_is_read_is_what_was_built(sender: [u8; 4], target: [u8; 4], mac: [u8; 6], destination: [u8; 6]) {
            let wanted = Packet {
                destination: destination.into(), source: mac.into(), reply: false, sender_mac: mac.into(), sender: sender.into(), target: target.into(),
            };
            let frame = build(&Fields {
                destination: wanted.destination, source: wanted.sender_mac, operation: ArpOperations::Request,
                sender_mac: wanted.sender_mac, sender: wanted.sender, target_mac: MacAddr::zero(), target: wanted.target,
            });
            prop_assert_eq!(Packet::read(&frame), Some(wanted));
        }
    }
}
