//! Ranges of addresses, as pools spell them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// 32-bit addresses.
    #[serde(rename = "IPv4")]
    V4,
    /// 128-bit addresses.
    #[serde(rename = "IPv6")]
    V6,
}

impl Family {
    /// The family of `address`.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The other family.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// The length of an address, in bits.
    const fn width(self) -> u32 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// Returns `address` as a number. IPv4 uses the low 32 bits. Compare only numbers of one
    /// family.
    #[must_use]
    pub fn bits(address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        }
    }

    /// Returns the address of this family with the number `bits`, the inverse of [`Self::bits`].
    /// IPv4 ignores all but the low 32 bits.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "an IPv4 address is the low 32 bits")]
    pub const fn address(self, bits: u128) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
            Self::V6 => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Why a string is not an address range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// A single address, without a prefix length.
    #[error(
        "{0:?} is neither a CIDR (192.0.2.0/24) nor a range (192.0.2.10-192.0.2.20); write a single address as {0}/{1}"
    )]
    Bare(String, u32),
    /// Neither a CIDR nor a range nor an address.
    #[error("{0:?} is neither a CIDR (192.0.2.0/24) nor a range (192.0.2.10-192.0.2.20)")]
    Unknown(String),
    /// An address of the CIDR or range does not parse.
    #[error("{address:?} in {range:?} is not an IP address")]
    Address {
        /// The address that does not parse.
        address: String,
        /// The whole entry.
        range: String,
    },
    /// The prefix length is not a number, or it exceeds the length of an address.
    #[error("the prefix length of {range:?} must be a number from 0 to {longest}")]
    Length {
        /// The whole entry.
        range: String,
        /// The length of an address of the family, in bits.
        longest: u32,
    },
    /// The ends of a range belong to different families.
    #[error("{0:?} starts in one address family and ends in the other")]
    Mixed(String),
    /// The range ends before it starts.
    #[error("{0:?} ends before it starts")]
    Reversed(String),
}

/// A range of addresses of one family. Both ends are included, and `first <= last`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpRange {
    family: Family,
    first: u128,
    last: u128,
}

impl IpRange {
    /// Creates the range from `first` to `last`, both included. Returns `None` if they belong to
    /// different families or if `last` comes first.
    #[must_use]
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        let family = Family::of(first);
        let (from, to) = (Family::bits(first), Family::bits(last));
        (family == Family::of(last) && from <= to).then_some(Self {
            family,
            first: from,
            last: to,
        })
    }

    /// The family of the addresses.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The lowest address.
    #[must_use]
    pub const fn first(&self) -> IpAddr {
        self.family.address(self.first)
    }

    /// The highest address.
    #[must_use]
    pub const fn last(&self) -> IpAddr {
        self.family.address(self.last)
    }

    /// The lowest and the highest address as numbers ([`Family::bits`]).
    #[must_use]
    pub const fn bits(&self) -> (u128, u128) {
        (self.first, self.last)
    }

    /// The number of addresses. It saturates: the whole IPv6 space counts as `u128::MAX`.
    #[must_use]
    pub const fn size(&self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// Whether the range contains `address`.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == self.family && (self.first..=self.last).contains(&Family::bits(address))
    }

    /// Whether the two ranges have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.family == other.family && self.first <= other.last && other.first <= self.last
    }
}

impl FromStr for IpRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        if let Some((address, length)) = text.split_once('/') {
            return cidr(text, address.trim(), length.trim());
        }
        if let Some((first, last)) = text.split_once('-') {
            let (first, last) = (range_end(text, first)?, range_end(text, last)?);
            if Family::of(first) != Family::of(last) {
                return Err(RangeError::Mixed(text.to_owned()));
            }
            return Self::new(first, last).ok_or_else(|| RangeError::Reversed(text.to_owned()));
        }
        Err(match text.trim().parse::<IpAddr>() {
            Ok(address) => RangeError::Bare(address.to_string(), Family::of(address).width()),
            Err(_) => RangeError::Unknown(text.to_owned()),
        })
    }
}

fn range_end(range: &str, address: &str) -> Result<IpAddr, RangeError> {
    let address = address.trim();
    // An IPv4-mapped IPv6 address (::ffff:192.0.2.1) stands for the IPv4 address.
    address
        .parse::<IpAddr>()
        .map(|ip| ip.to_canonical())
        .map_err(|_| RangeError::Address {
            address: address.to_owned(),
            range: range.to_owned(),
        })
}

fn cidr(range: &str, address: &str, length: &str) -> Result<IpRange, RangeError> {
    let address: IpAddr = address.parse().map_err(|_| RangeError::Address {
        address: address.to_owned(),
        range: range.to_owned(),
    })?;
    let family = Family::of(address);
    let bad_length = || RangeError::Length {
        range: range.to_owned(),
        longest: family.width(),
    };
    // `parse` alone would accept "+24".
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad_length());
    }
    let length: u32 = length.parse().map_err(|_| bad_length())?;
    let host_bits = family.width().checked_sub(length).ok_or_else(bad_length)?;
    let host_mask = 1u128.checked_shl(host_bits).map_or(u128::MAX, |power| power - 1);
    // Host bits are ignored: 192.0.2.40/24 is 192.0.2.0/24.
    let first = Family::bits(address) & !host_mask;
    Ok(IpRange {
        family,
        first,
        last: first | host_mask,
    })
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host_mask = self.first ^ self.last;
        let aligned = host_mask & host_mask.wrapping_add(1) == 0 && self.first & host_mask == 0;
        if aligned {
            let length = self.family.width() - (u128::BITS - host_mask.leading_zeros());
            write!(f, "{}/{length}", self.first())
        } else {
            write!(f, "{}-{}", self.first(), self.last())
        }
    }
}

impl fmt::Debug for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
