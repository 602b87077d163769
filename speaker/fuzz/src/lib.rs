//! Frames that are nearly right: with any bytes alone, a fuzzer rarely gets past headers and checksums.

/// Writes the header of an ARP packet for IPv4 over Ethernet into a frame that is long enough for it.
pub fn mend_arp(frame: &mut [u8]) {
    if let Some(kind) = frame.get_mut(12..21) {
        kind.copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0]);
    }
}

/// Writes the headers and the checksum of ICMPv6 on one link into a frame that is long enough for a solicitation.
pub fn mend_ndp(frame: &mut [u8]) {
    if frame.len() < 78 {
        return;
    }
    let [high, low] = u16::try_from(frame.len() - 54).unwrap_or(u16::MAX).to_be_bytes();
    frame[12..22].copy_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, high, low, 58, 255]);
    // A solicitation or an advertisement.
    frame[54] = 135 + frame[54] % 2;
    frame[55..58].fill(0);
    // One's complement over the pseudo header and the message (RFC 4443, section 2.3).
    let pseudo = [0, 0, high, low, 0, 0, 0, 58];
    let words = frame[22..].chunks(2).chain(pseudo.chunks(2));
    let sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or_default()))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let [high, low] = u16::try_from(sum).unwrap_or_default().to_be_bytes();
    frame[56..58].copy_from_slice(&[!high, !low]);
}
