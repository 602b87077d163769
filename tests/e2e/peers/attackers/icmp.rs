//! Forged ICMP errors.

use std::net::Ipv4Addr;

/// An ICMP error from `from`: nothing listens there for a datagram from `to` between these ports.
/// RFC 792: type 3, code 3, and the IP header and first eight bytes of that datagram.
pub(super) fn port_unreachable(from: Ipv4Addr, to: Ipv4Addr, (source, destination): (u16, u16)) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, 60, 0, 1, 0, 0, 64, 17, 0, 0];
    header.extend(to.octets());
    header.extend(from.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![3, 3, 0, 0, 0, 0, 0, 0];
    packet.extend(header);
    packet.extend(source.to_be_bytes());
    packet.extend(destination.to_be_bytes());
    packet.extend([0, 40, 0, 0]);
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}
