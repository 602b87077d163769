use proptest::prelude::*;

use super::*;

const OURS: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
const THEIRS: MacAddr = MacAddr(2, 0, 0, 0, 0, 2);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The bytes of a solicitation frame with these options, written by hand.
fn solicitation_frame(from: Ipv6Addr, to: Ipv6Addr, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(<[u8; 6]>::from(multicast_mac(to)));
    frame.extend(<[u8; 6]>::from(THEIRS));
    frame.extend([
        0x86,
        0xdd,
        0x60,
        0,
        0,
        0,
        0,
        u8::try_from(MESSAGE_LEN + options.len()).unwrap(),
        58,
        255,
    ]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend([135, 0, 0, 0, 0, 0, 0, 0]);
    frame.extend(target.octets());
    frame.extend(options);
    write_checksum(&mut frame);
    frame
}

/// Writes the ICMPv6 checksum (RFC 4443, section 2.3) of a frame whose payload ends with the frame.
fn write_checksum(frame: &mut [u8]) {
    frame[56..58].fill(0);
    let mut words = frame[22..].to_vec();
    words.extend([0, 0, 0, u8::try_from(frame.len() - 54).unwrap(), 0, 0, 0, 58]);
    let mut sum: u32 = words
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[56..58].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
}

/// Parses a frame. Returns `None` for an advertisement too.
fn parse_solicitation(frame: &[u8]) -> Option<NeighborSolicitation> {
    match NdpPacket::parse(frame)? {
        NdpPacket::Solicitation(solicitation) => Some(solicitation),
        NdpPacket::Advertisement(_) => None,
    }
}

const ADDRESS: &str = "2001:db8::1:2:3";
const OPTION_OF_THEIRS: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 2];

fn usual() -> Vec<u8> {
    solicitation_frame(
        ip("fe80::9"),
        solicited_node(ip(ADDRESS)),
        ip(ADDRESS),
        &OPTION_OF_THEIRS,
    )
}

/// Overwrites headers, type and checksum of a frame of at least 78 bytes, so that it is a valid
/// message of this ICMPv6 type. All other bytes stay.
pub(crate) fn with_valid_headers(mut frame: Vec<u8>, kind: u8) -> Vec<u8> {
    let length = u8::try_from(frame.len() - ETHERNET_LEN - IPV6_LEN).unwrap();
    frame[12..22].copy_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, length, 58, 255]);
    frame[54..56].copy_from_slice(&[kind, 0]);
    write_checksum(&mut frame);
    frame
}

#[test]
fn solicitation_and_reply_match_the_bytes_of_rfc_4861() {
    let parsed = parse_solicitation(&usual()).unwrap();
    let expected = NeighborSolicitation {
        destination: MacAddr(0x33, 0x33, 0xff, 2, 0, 3),
        sender_mac: THEIRS,
        sender: ip("fe80::9"),
        target: ip(ADDRESS),
    };
    assert_eq!(parsed, expected);
    // Written by hand from RFC 4861, sections 4.4 and 4.6.1.
    let mut reply = vec![
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255,
    ];
    reply.extend(ip("fe80::1").octets());
    reply.extend(ip("fe80::9").octets());
    reply.extend([136, 0, 0, 0, 0x60, 0, 0, 0]);
    reply.extend(ip(ADDRESS).octets());
    reply.extend([2, 1, 2, 0, 0, 0, 0, 1]);
    write_checksum(&mut reply);
    assert_eq!(parsed.reply(OURS, OURS, Some(ip("fe80::1"))).to_vec(), reply);
}

#[test]
fn solicitation_without_option_uses_the_ethernet_source() {
    let frame = solicitation_frame(ip("2001:db8::9"), ip(ADDRESS), ip(ADDRESS), &[]);
    let parsed = parse_solicitation(&frame).unwrap();
    assert_eq!((parsed.sender_mac, parsed.sender), (THEIRS, ip("2001:db8::9")));
}

#[test]
fn dad_probe_is_answered_to_all_nodes() {
    let frame = solicitation_frame(Ipv6Addr::UNSPECIFIED, solicited_node(ip(ADDRESS)), ip(ADDRESS), &[]);
    // The same with a Nonce option (RFC 7527).
    let with_nonce = solicitation_frame(
        Ipv6Addr::UNSPECIFIED,
        solicited_node(ip(ADDRESS)),
        ip(ADDRESS),
        &[14, 1, 1, 2, 3, 4, 5, 6],
    );
    for frame in [frame, with_nonce] {
        let reply = parse_solicitation(&frame).unwrap().reply(OURS, OURS, None);
        assert_eq!(reply[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(
            reply[22..38],
            ip(ADDRESS).octets(),
            "without a link-local address the source is the address itself"
        );
        assert_eq!(reply[38..54], ip("ff02::1").octets());
        assert_eq!(reply[58], 0x20, "Override, not Solicited");
    }
}

#[test]
fn deputy_reply_has_owner_mac_in_option_and_own_mac_in_frame() {
    let owner = MacAddr(2, 0, 0, 0, 0, 7);
    let frame = parse_solicitation(&usual())
        .unwrap()
        .reply(OURS, owner, Some(ip("fe80::1")));
    let expected = NeighborAdvertisement {
        source: OURS,
        target: ip(ADDRESS),
        target_mac: Some(owner),
    };
    assert_eq!(NdpPacket::parse(&frame), Some(NdpPacket::Advertisement(expected)));
    let mut solicited_to_all = unsolicited_advertisement(OURS, None, ip(ADDRESS)).to_vec();
    assert!(NdpPacket::parse(&solicited_to_all).is_some());
    solicited_to_all[58] |= SOLICITED;
    write_checksum(&mut solicited_to_all);
    assert_eq!(NdpPacket::parse(&solicited_to_all), None);
}

#[test]
fn built_solicitations_match_handwritten_frames() {
    for link_local in [Some(ip("fe80::9")), None] {
        let frame = super::solicitation(THEIRS, link_local, ip(ADDRESS));
        let options = link_local.map_or(&[][..], |_| &OPTION_OF_THEIRS);
        let from = link_local.unwrap_or(Ipv6Addr::UNSPECIFIED);
        assert_eq!(
            frame,
            solicitation_frame(from, solicited_node(ip(ADDRESS)), ip(ADDRESS), options)
        );
        assert!(parse_solicitation(&frame).is_some());
    }
}

#[test]
fn unsolicited_advertisement_overrides_and_goes_to_all_nodes() {
    let frame = unsolicited_advertisement(OURS, Some(ip("fe80::1")), ip(ADDRESS));
    let mut expected = frame.to_vec();
    write_checksum(&mut expected);
    assert_eq!(expected, frame);
    assert_eq!(
        (frame[..6].to_vec(), frame[58], frame[21]),
        (vec![0x33, 0x33, 0, 0, 0, 1], 0x20, 255)
    );
    assert_eq!(
        (&frame[62..78], &frame[78..]),
        (&ip(ADDRESS).octets()[..], &[2, 1, 2, 0, 0, 0, 0, 1][..])
    );
}

#[test]
fn invalid_solicitations_are_refused() {
    let good = usual();
    for (offset, value, fix_checksum) in [
        (12, 8, true),     // another EtherType
        (14, 0x40, true),  // another version
        (20, 17, true),    // another protocol
        (21, 254, true),   // forwarded by a router
        (54, 133, true),   // a Router Solicitation
        (55, 1, true),     // a code other than 0
        (56, 0xaa, false), // a wrong checksum
        (62, 0xff, true),  // a multicast target
        (79, 0, true),     // an option of length zero
        (79, 2, true),     // an option longer than the message
        (79, 255, true),   // an option length that overflows eight bits
        (19, 200, false),  // a payload length beyond the frame
        (19, 8, false),    // a payload length that cuts off the target
    ] {
        let mut frame = good.clone();
        frame[offset] = value;
        if fix_checksum {
            write_checksum(&mut frame);
        }
        assert_eq!(NdpPacket::parse(&frame), None, "offset {offset} as {value}");
    }
    for length in 0..good.len() {
        assert_eq!(parse_solicitation(&good[..length]), None);
    }
    // From `::`: first with a source link-layer option, then to a unicast address.
    for (to, options) in [(solicited_node(ip(ADDRESS)), &OPTION_OF_THEIRS[..]), (ip(ADDRESS), &[])] {
        assert_eq!(
            parse_solicitation(&solicitation_frame(Ipv6Addr::UNSPECIFIED, to, ip(ADDRESS), options)),
            None
        );
    }
    let mut padded = good.clone();
    padded.extend([0; 6]);
    assert_eq!(parse_solicitation(&padded), parse_solicitation(&good));
}

#[test]
fn solicited_node_group_has_the_last_24_bits_of_the_address() {
    assert_eq!(solicited_node(ip("2001:db8::1:abcd:ef01")), ip("ff02::1:ffcd:ef01"));
    assert_eq!(
        multicast_mac(ip("ff02::1:ffcd:ef01")),
        MacAddr(0x33, 0x33, 0xff, 0xcd, 0xef, 0x01)
    );
}

proptest! {
    #[test]
    fn ndp_parser_accepts_arbitrary_bytes_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
        let _ = NdpPacket::parse(&bytes);
    }

    /// Arbitrary options behind a valid header, as a hostile host would send them.
    #[test]
    fn parser_accepts_arbitrary_options_without_panic(options in proptest::collection::vec(any::<u8>(), 0..100)) {
        let frame = solicitation_frame(ip("fe80::9"), solicited_node(ip(ADDRESS)), ip(ADDRESS), &options);
        if let Some(parsed) = parse_solicitation(&frame) {
            let _ = parsed.reply(OURS, OURS, None);
        }
    }
}
