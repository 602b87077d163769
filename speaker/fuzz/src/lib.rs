//! Completes arbitrary bytes to frames with valid headers.
//!
//! With arbitrary bytes alone, a fuzzer rarely gets past headers and checksums.

/// Offset of the ICMPv6 message in a frame: Ethernet and IPv6 header, in bytes.
const MESSAGE_LEN: usize = 54;

/// Writes the fixed fields of ARP for IPv4 over Ethernet, if the frame is long enough.
///
/// The low byte of the operation stays as it is.
pub fn complete_arp(frame: &mut [u8]) {
    if let Some(fixed) = frame.get_mut(12..21) {
        fixed.copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0]);
    }
}

/// Writes the headers, an NDP message type and a valid checksum, if the frame is long enough for a
/// Neighbor Solicitation.
pub fn complete_ndp(frame: &mut [u8]) {
    if frame.len() < MESSAGE_LEN + 24 {
        return;
    }
    let [high, low] = u16::try_from(frame.len() - MESSAGE_LEN).unwrap_or(u16::MAX).to_be_bytes();
    frame[12..22].copy_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, high, low, 58, 255]);
    // 135 is a Neighbor Solicitation, 136 a Neighbor Advertisement.
    frame[MESSAGE_LEN] = 135 + frame[MESSAGE_LEN] % 2;
    frame[MESSAGE_LEN + 1..MESSAGE_LEN + 4].fill(0);
    // One's complement sum over the pseudo header and the message (RFC 4443, section 2.3).
    let pseudo_header = [0, 0, high, low, 0, 0, 0, 58];
    let words = frame[22..].chunks(2).chain(pseudo_header.chunks(2));
    let sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or_default()))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let [high, low] = u16::try_from(sum).unwrap_or_default().to_be_bytes();
    frame[MESSAGE_LEN + 2..MESSAGE_LEN + 4].copy_from_slice(&[!high, !low]);
}
