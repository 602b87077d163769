use proptest::prelude::*;

use super::*;

const OURS: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
const THEIRS: MacAddr = MacAddr(2, 0, 0, 0, 0, 2);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// A solicitation as it goes over the wire, with these options.
fn solicitation(from: Ipv6Addr, to: Ipv6Addr, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
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
        u8::try_from(MESSAGE + options.len()).unwrap(),
        58,
        255,
    ]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend([135, 0, 0, 0, 0, 0, 0, 0]);
    frame.extend(target.octets());
    frame.extend(options);
    sum(&mut frame);
    frame
}

/// Sets the checksum as it has to be: one's complement over the pseudo header and the message (RFC 4443, section 2.3).
fn sum(frame: &mut [u8]) {
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

/// Reads a frame that may only be a solicitation.
fn read_solicitation(frame: &[u8]) -> Option<Solicitation> {
    match Packet::read(frame)? {
        Packet::Solicitation(solicitation) => Some(solicitation),
        Packet::Advertisement(_) => None,
    }
}

const ADDRESS: &str = "2001:db8::1:2:3";
const OPTION_OF_THEIRS: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 2];

fn usual() -> Vec<u8> {
    solicitation(
        ip("fe80::9"),
        solicited_node(ip(ADDRESS)),
        ip(ADDRESS),
        &OPTION_OF_THEIRS,
    )
}

/// A frame of at least 78 bytes with a header and a checksum that are right for a message of this type, and with all else as it was.
pub(crate) fn mended(mut frame: Vec<u8>, kind: u8) -> Vec<u8> {
    let length = u8::try_from(frame.len() - ETHERNET - IPV6).unwrap();
    frame[12..22].copy_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, length, 58, 255]);
    frame[54..56].copy_from_slice(&[kind, 0]);
    sum(&mut frame);
    frame
}

#[test]
fn a_solicitation_is_answered_to_whoever_asked_bit_by_bit() {
    let read = read_solicitation(&usual()).unwrap();
    let wanted = Solicitation {
        destination: MacAddr(0x33, 0x33, 0xff, 2, 0, 3),
        sender_mac: THEIRS,
        sender: ip("fe80::9"),
        target: ip(ADDRESS),
    };
    assert_eq!(read, wanted);
    // Written out by hand from RFC 4861, sections 4.4 and 4.6.1.
    let mut answer = vec![
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255,
    ];
    answer.extend(ip("fe80::1").octets());
    answer.extend(ip("fe80::9").octets());
    answer.extend([136, 0, 0, 0, 0x60, 0, 0, 0]);
    answer.extend(ip(ADDRESS).octets());
    answer.extend([2, 1, 2, 0, 0, 0, 0, 1]);
    sum(&mut answer);
    assert_eq!(read.answer(OURS, OURS, Some(ip("fe80::1"))).to_vec(), answer);
}

#[test]
fn one_without_an_option_is_answered_to_where_it_came_from() {
    let frame = solicitation(ip("2001:db8::9"), ip(ADDRESS), ip(ADDRESS), &[]);
    let read = read_solicitation(&frame).unwrap();
    assert_eq!((read.sender_mac, read.sender), (THEIRS, ip("2001:db8::9")));
}

#[test]
fn a_probe_of_duplicate_address_detection_is_answered_to_all() {
    let frame = solicitation(Ipv6Addr::UNSPECIFIED, solicited_node(ip(ADDRESS)), ip(ADDRESS), &[]);
    // A nonce (RFC 7527) may come along.
    let with_nonce = solicitation(
        Ipv6Addr::UNSPECIFIED,
        solicited_node(ip(ADDRESS)),
        ip(ADDRESS),
        &[14, 1, 1, 2, 3, 4, 5, 6],
    );
    for frame in [frame, with_nonce] {
        let answer = read_solicitation(&frame).unwrap().answer(OURS, OURS, None);
        assert_eq!(answer[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(
            answer[22..38],
            ip(ADDRESS).octets(),
            "without a link-local address it comes from the address itself"
        );
        assert_eq!(answer[38..54], ip("ff02::1").octets());
        assert_eq!(answer[58], 0x20, "overrides, is not solicited");
    }
}

#[test]
fn an_answer_for_another_host_has_its_mac_in_the_option_and_not_in_the_frame() {
    let other = MacAddr(2, 0, 0, 0, 0, 7);
    let frame = read_solicitation(&usual())
        .unwrap()
        .answer(OURS, other, Some(ip("fe80::1")));
    let wanted = Advertisement {
        source: OURS,
        target: ip(ADDRESS),
        target_mac: Some(other),
    };
    assert_eq!(Packet::read(&frame), Some(Packet::Advertisement(wanted)));
    let mut solicited_to_all = unsolicited(OURS, None, ip(ADDRESS)).to_vec();
    assert!(Packet::read(&solicited_to_all).is_some());
    solicited_to_all[58] |= SOLICITED;
    sum(&mut solicited_to_all);
    assert_eq!(Packet::read(&solicited_to_all), None);
}

#[test]
fn what_is_asked_is_read_as_that_with_and_without_an_address_of_our_own() {
    for link_local in [Some(ip("fe80::9")), None] {
        let frame = solicit(THEIRS, link_local, ip(ADDRESS));
        let options = link_local.map_or(&[][..], |_| &OPTION_OF_THEIRS);
        let from = link_local.unwrap_or(Ipv6Addr::UNSPECIFIED);
        assert_eq!(
            frame,
            solicitation(from, solicited_node(ip(ADDRESS)), ip(ADDRESS), options)
        );
        assert!(read_solicitation(&frame).is_some());
    }
}

#[test]
fn an_unsolicited_one_overrides_and_goes_to_all() {
    let frame = unsolicited(OURS, Some(ip("fe80::1")), ip(ADDRESS));
    let mut summed = frame.to_vec();
    sum(&mut summed);
    assert_eq!(summed, frame);
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
fn what_is_no_valid_solicitation_is_dropped() {
    let good = usual();
    for (offset, value, summed) in [
        (12, 8, true),     // another EtherType
        (14, 0x40, true),  // another version
        (20, 17, true),    // another protocol
        (21, 254, true),   // it was forwarded
        (54, 133, true),   // a solicitation of routers
        (55, 1, true),     // a code
        (56, 0xaa, false), // a checksum that is wrong
        (62, 0xff, true),  // a target that is a group
        (79, 0, true),     // an option of no length
        (79, 2, true),     // one that is longer than what is there
        (79, 255, true),   // the length by which readers that count in eight bits overflow
        (19, 200, false),  // a length beyond the frame
        (19, 8, false),    // a length that leaves out the target
    ] {
        let mut frame = good.clone();
        frame[offset] = value;
        if summed {
            sum(&mut frame);
        }
        assert_eq!(Packet::read(&frame), None, "offset {offset} as {value}");
    }
    for length in 0..good.len() {
        assert_eq!(read_solicitation(&good[..length]), None);
    }
    // Whoever has no address can't be answered at one, and does not ask one host.
    for (to, options) in [(solicited_node(ip(ADDRESS)), &OPTION_OF_THEIRS[..]), (ip(ADDRESS), &[])] {
        assert_eq!(
            read_solicitation(&solicitation(Ipv6Addr::UNSPECIFIED, to, ip(ADDRESS), options)),
            None
        );
    }
    let mut padded = good.clone();
    padded.extend([0; 6]);
    assert_eq!(read_solicitation(&padded), read_solicitation(&good));
}

#[test]
fn groups_are_those_of_the_last_24_bits() {
    assert_eq!(solicited_node(ip("2001:db8::1:abcd:ef01")), ip("ff02::1:ffcd:ef01"));
    assert_eq!(
        multicast_mac(ip("ff02::1:ffcd:ef01")),
        MacAddr(0x33, 0x33, 0xff, 0xcd, 0xef, 0x01)
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_dropped(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
        let _ = Packet::read(&bytes);
    }

    /// Options of any content behind a header that is right, as a hostile host would send them.
    #[test]
    fn any_options_are_read_or_dropped(options in proptest::collection::vec(any::<u8>(), 0..100)) {
        let frame = solicitation(ip("fe80::9"), solicited_node(ip(ADDRESS)), ip(ADDRESS), &options);
        if let Some(read) = read_solicitation(&frame) {
            let _ = read.answer(OURS, OURS, None);
        }
    }
}
