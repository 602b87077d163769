use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::{IpRange, RangeError};

fn range(text: &str) -> IpRange {
    text.parse().unwrap()
}

#[test]
fn valid_spellings_parse() {
    for (text, first, last, shown) in [
        ("192.0.2.0/24", "192.0.2.0", "192.0.2.255", "192.0.2.0/24"),
        ("192.0.2.40/24", "192.0.2.0", "192.0.2.255", "192.0.2.0/24"),
        ("192.0.2.7/32", "192.0.2.7", "192.0.2.7", "192.0.2.7/32"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255", "0.0.0.0/0"),
        (
            "192.168.122.110-192.168.122.119",
            "192.168.122.110",
            "192.168.122.119",
            "192.168.122.110-192.168.122.119",
        ),
        (" 192.0.2.8 - 192.0.2.15 ", "192.0.2.8", "192.0.2.15", "192.0.2.8/29"),
        (
            "::ffff:192.0.2.1-192.0.2.2",
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.1-192.0.2.2",
        ),
        (
            "2001:db8::/48",
            "2001:db8::",
            "2001:db8:0:ffff:ffff:ffff:ffff:ffff",
            "2001:db8::/48",
        ),
        (
            "2001:db8::1-2001:db8::ff",
            "2001:db8::1",
            "2001:db8::ff",
            "2001:db8::1-2001:db8::ff",
        ),
        ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"),
    ] {
        let parsed = range(text);
        assert_eq!(parsed.first(), first.parse::<IpAddr>().unwrap(), "{text}");
        assert_eq!(parsed.last(), last.parse::<IpAddr>().unwrap(), "{text}");
        assert_eq!(parsed.to_string(), shown);
    }
}

#[test]
fn invalid_spellings_are_refused_with_a_hint() {
    for (text, part) in [
        ("192.0.2.1", "write a single address as 192.0.2.1/32"),
        ("2001:db8::1", "write a single address as 2001:db8::1/128"),
        ("", "neither a CIDR"),
        ("nonsense", "neither a CIDR"),
        ("192.0.2.0/33", "from 0 to 32"),
        ("192.0.2.0/+3", "from 0 to 32"),
        ("192.0.2.0/", "from 0 to 32"),
        ("2001:db8::/129", "from 0 to 128"),
        ("192.0.2.256/24", "is not an IP address"),
        ("192.0.2.1-", "is not an IP address"),
        ("192.0.2.1-192.0.2.2-192.0.2.3", "is not an IP address"),
        ("192.0.2.20-192.0.2.10", "ends before it starts"),
        ("192.0.2.1-2001:db8::1", "starts in one address family"),
    ] {
        let error = text.parse::<IpRange>().unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
    assert_eq!(
        "192.0.2.1-2001:db8::1".parse::<IpRange>(),
        Err(RangeError::Mixed("192.0.2.1-2001:db8::1".into()))
    );
}

#[test]
fn size_of_a_huge_range_saturates() {
    assert_eq!(range("10.0.0.0/8").size(), 1 << 24);
    assert_eq!(range("2001:db8::/48").size(), 1 << 80);
    assert_eq!(range("::/0").size(), u128::MAX);
}

#[test]
fn ranges_overlap_only_within_one_family() {
    assert!(range("192.0.2.0/24").overlaps(&range("192.0.2.255-192.0.3.4")));
    assert!(!range("192.0.2.0/24").overlaps(&range("192.0.3.0/24")));
    assert!(!range("0.0.0.0/0").overlaps(&range("::/0")));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,60}") {
        let _ = text.parse::<IpRange>();
    }

    #[test]
    fn displayed_range_parses_to_the_same_range(a: u32, b: u32, c: u128, d: u128) {
        let v4 = IpRange::new(IpAddr::V4(Ipv4Addr::from_bits(a.min(b))), IpAddr::V4(Ipv4Addr::from_bits(a.max(b)))).unwrap();
        let v6 = IpRange::new(IpAddr::V6(Ipv6Addr::from_bits(c.min(d) | 1 << 127)), IpAddr::V6(Ipv6Addr::from_bits(c.max(d) | 1 << 127)));
        for range in std::iter::once(v4).chain(v6) {
            prop_assert_eq!(range.to_string().parse::<IpRange>().unwrap(), range);
        }
    }

    #[test]
    fn cidr_contains_what_its_mask_covers(address: u32, length in 0u32..=32, probe: u32) {
        let parsed = range(&format!("{}/{length}", Ipv4Addr::from_bits(address)));
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        prop_assert_eq!(parsed.contains(IpAddr::V4(Ipv4Addr::from_bits(probe))), probe & mask == address & mask);
        prop_assert_eq!(parsed.size(), 1u128 << (32 - length));
    }
}
