//! Neighbor Discovery for IPv6 over Ethernet (RFC 4861).
//!
//! Parses and builds Neighbor Solicitations and Neighbor Advertisements, including those of
//! Duplicate Address Detection (RFC 4862).
//!
//! The parser does not use the option parser of `pnet_packet`. That one computes the length of an
//! option in eight bits and overflows on hostile input.

use std::net::Ipv6Addr;

use pnet_packet::{
    Packet as _,
    ethernet::{EtherTypes, MutableEthernetPacket},
    icmpv6::{
        Icmpv6Code, Icmpv6Packet, Icmpv6Types, checksum,
        ndp::{
            MutableNdpOptionPacket, MutableNeighborAdvertPacket, MutableNeighborSolicitPacket, NdpOptionType,
            NdpOptionTypes,
        },
    },
    ip::IpNextHeaderProtocols,
    ipv6::MutableIpv6Packet,
};

use crate::types::MacAddr;

/// Length of an Ethernet header, in bytes.
const ETHERNET_LEN: usize = 14;
/// Length of an IPv6 header, in bytes.
const IPV6_LEN: usize = 40;
/// Length of a solicitation or an advertisement without options, in bytes.
const MESSAGE_LEN: usize = 24;
/// Length of a link-layer address option, in bytes (RFC 4861, section 4.6.1).
const OPTION_LEN: usize = 8;
/// Length of an advertisement frame, and the maximum for a solicitation frame, in bytes.
pub const NDP_FRAME_LEN: usize = ETHERNET_LEN + IPV6_LEN + MESSAGE_LEN + OPTION_LEN;

/// The hop limit that every valid packet has. It proves that no router forwarded the packet
/// (RFC 4861, sections 7.1.1 and 7.1.2).
const HOP_LIMIT: u8 = 255;

/// The Solicited flag of an advertisement (RFC 4861, section 4.4).
const SOLICITED: u8 = 0b0100_0000;
/// The Override flag of an advertisement (RFC 4861, section 4.4).
const OVERRIDE: u8 = 0b0010_0000;

/// The all-nodes multicast group of the link (RFC 4291, section 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A parsed Neighbor Solicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborSolicitation {
    /// Ethernet destination.
    pub destination: MacAddr,
    /// Link-layer address of the sender: from the Source Link-Layer Address option if there is one,
    /// otherwise the Ethernet source. RFC 4861, section 4.3, lets a unicast solicitation omit it.
    pub sender_mac: MacAddr,
    /// IPv6 source; `::` in Duplicate Address Detection (RFC 4862, section 5.4.2).
    pub sender: Ipv6Addr,
    /// The address that the sender asks for.
    pub target: Ipv6Addr,
}

/// A parsed Neighbor Advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborAdvertisement {
    /// Ethernet source. A deputy has its own MAC here, and the owner's MAC in `target_mac`.
    pub source: MacAddr,
    /// The advertised address.
    pub target: Ipv6Addr,
    /// The MAC of `target`, from the Target Link-Layer Address option; `None` without that option.
    pub target_mac: Option<MacAddr>,
}

/// A parsed Neighbor Discovery message of a kind that matters to a speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdpPacket {
    /// A Neighbor Solicitation.
    Solicitation(NeighborSolicitation),
    /// A Neighbor Advertisement, solicited or unsolicited.
    Advertisement(NeighborAdvertisement),
}

impl NdpPacket {
    /// Parses a frame. Padding after the IPv6 payload is ignored.
    ///
    /// Returns `None` unless the frame is a valid Neighbor Solicitation or Advertisement (RFC 4861,
    /// sections 7.1.1 and 7.1.2).
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let mac = |at: usize| Some(MacAddr::from(*frame.get(at..)?.first_chunk::<6>()?));
        let ip = |at: usize| Some(Ipv6Addr::from(*frame.get(at..)?.first_chunk::<16>()?));
        let header: &[u8; IPV6_LEN] = frame.get(ETHERNET_LEN..)?.first_chunk()?;
        let [version, _, _, _, length_high, length_low, next_header, hop_limit, ..] = *header;
        let is_ipv6 = frame.get(12..14)? == [0x86, 0xdd] && version >> 4 == 6;
        if !is_ipv6 || next_header != IpNextHeaderProtocols::Icmpv6.0 || hop_limit != HOP_LIMIT {
            return None;
        }
        let (sender, receiver) = (ip(ETHERNET_LEN + 8)?, ip(ETHERNET_LEN + 24)?);
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        // Anything after the payload is Ethernet padding.
        let message = frame.get(ETHERNET_LEN + IPV6_LEN..)?.get(..length)?;
        let icmp = Icmpv6Packet::new(message)?;
        if message.len() < MESSAGE_LEN
            || icmp.get_icmpv6_code() != Icmpv6Code(0)
            || checksum(&icmp, &sender, &receiver) != icmp.get_checksum()
        {
            return None;
        }
        let target = ip(ETHERNET_LEN + IPV6_LEN + 8)?;
        let link_layer = |kind: NdpOptionType| link_layer_option(message.get(MESSAGE_LEN..)?, kind);
        if icmp.get_icmpv6_type() == Icmpv6Types::NeighborAdvert {
            // A multicast advertisement must not have the Solicited flag (section 7.1.2).
            let solicited = message.get(4)? & SOLICITED != 0;
            let is_valid = !(target.is_multicast() || solicited && receiver.is_multicast());
            return is_valid.then_some(Self::Advertisement(NeighborAdvertisement {
                source: mac(6)?,
                target,
                target_mac: link_layer(NdpOptionTypes::TargetLLAddr)?,
            }));
        }
        if icmp.get_icmpv6_type() != Icmpv6Types::NeighborSolicit {
            return None;
        }
        let sender_mac = link_layer(NdpOptionTypes::SourceLLAddr)?;
        // A solicitation from `::` must go to the solicited-node group, and must not have a
        // source link-layer option (section 7.1.1).
        let is_dad = sender.is_unspecified();
        let is_valid =
            !target.is_multicast() && !(is_dad && (sender_mac.is_some() || receiver != solicited_node(target)));
        is_valid.then_some(Self::Solicitation(NeighborSolicitation {
            destination: mac(0)?,
            sender_mac: sender_mac.map_or_else(|| mac(6), Some)?,
            sender,
            target,
        }))
    }
}

impl NeighborSolicitation {
    /// Builds the advertisement that answers this solicitation: the target is at `mac`.
    ///
    /// `source` becomes the Ethernet source, and `link_local` the IPv6 source (the target if
    /// `None`). `source` differs from `mac` when a deputy replies for the owner. The reply to a
    /// solicitation from `::` goes to all nodes (RFC 4861, section 7.2.4).
    #[must_use]
    pub fn reply(&self, source: MacAddr, mac: MacAddr, link_local: Option<Ipv6Addr>) -> [u8; NDP_FRAME_LEN] {
        let is_dad = self.sender.is_unspecified();
        build(&AdvertisementFields {
            destination: if is_dad {
                multicast_mac(ALL_NODES)
            } else {
                self.sender_mac
            },
            source,
            from: link_local.unwrap_or(self.target),
            to: if is_dad { ALL_NODES } else { self.sender },
            solicited: !is_dad,
            target: self.target,
            target_mac: mac,
        })
    }
}

/// Builds the unsolicited advertisement that announces `address` at `mac` to all nodes (RFC 4861,
/// section 7.2.6).
///
/// `link_local` is the IPv6 source; `None` stands for `address` itself.
#[must_use]
pub fn unsolicited_advertisement(mac: MacAddr, link_local: Option<Ipv6Addr>, address: Ipv6Addr) -> [u8; NDP_FRAME_LEN] {
    build(&AdvertisementFields {
        destination: multicast_mac(ALL_NODES),
        source: mac,
        from: link_local.unwrap_or(address),
        to: ALL_NODES,
        solicited: false,
        target: address,
        target_mac: mac,
    })
}

/// Builds a multicast solicitation for `target`.
///
/// `link_local` is the IPv6 source. Without it the source is `::`, and the frame is a probe of
/// Duplicate Address Detection (RFC 4862, section 5.4.2).
#[must_use]
pub fn solicitation(mac: MacAddr, link_local: Option<Ipv6Addr>, target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    let from = link_local.unwrap_or(Ipv6Addr::UNSPECIFIED);
    // A solicitation has the layout of an advertisement. Only the differences are written below.
    let mut frame = build(&AdvertisementFields {
        destination: multicast_mac(group),
        source: mac,
        from,
        to: group,
        solicited: false,
        target,
        target_mac: mac,
    })
    .to_vec();
    if link_local.is_none() {
        frame.truncate(NDP_FRAME_LEN - OPTION_LEN);
    }
    let length = frame.len();
    let (header, message) = frame.split_at_mut(ETHERNET_LEN + IPV6_LEN);
    if let Some(mut ipv6) = header.get_mut(ETHERNET_LEN..).and_then(MutableIpv6Packet::new) {
        ipv6.set_payload_length(u16::try_from(length - ETHERNET_LEN - IPV6_LEN).unwrap_or_default());
    }
    if let Some(mut option) = message.get_mut(MESSAGE_LEN..).and_then(MutableNdpOptionPacket::new) {
        option.set_option_type(NdpOptionTypes::SourceLLAddr);
    }
    if let Some(mut solicitation) = MutableNeighborSolicitPacket::new(message) {
        solicitation.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
        // Clears the four bytes that hold the flags of an advertisement.
        solicitation.set_reserved(0);
        let sum = Icmpv6Packet::new(solicitation.packet()).map(|icmp| checksum(&icmp, &from, &group));
        solicitation.set_checksum(sum.unwrap_or_default());
    }
    frame
}

/// Returns the solicited-node multicast group of `address` (RFC 4291, section 2.7.1).
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (a & 0xff), b)
}

/// Returns the Ethernet address of a multicast group (RFC 2464, section 7).
const fn multicast_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr(0x33, 0x33, a, b, c, d)
}

/// Finds the link-layer address option of the kind `wanted`. The last one counts.
///
/// Returns `None` if the options are malformed, and `Some(None)` if there is no such option.
#[expect(clippy::option_option, reason = "three cases: malformed, absent, present")]
fn link_layer_option(mut options: &[u8], wanted: NdpOptionType) -> Option<Option<MacAddr>> {
    let mut address = None;
    while let [kind, length, ..] = options {
        // The length counts units of eight bytes; zero is malformed (RFC 4861, section 4.6).
        let length = usize::from(*length) * 8;
        let option = options.get(..length).filter(|option| !option.is_empty())?;
        if wanted.0 == *kind && length == OPTION_LEN {
            address = option.get(2..)?.first_chunk::<6>().map(|mac| MacAddr::from(*mac));
        }
        options = options.get(length..)?;
    }
    options.is_empty().then_some(address)
}

/// The variable fields of an advertisement frame.
struct AdvertisementFields {
    destination: MacAddr,
    source: MacAddr,
    from: Ipv6Addr,
    to: Ipv6Addr,
    solicited: bool,
    target: Ipv6Addr,
    target_mac: MacAddr,
}

fn build(fields: &AdvertisementFields) -> [u8; NDP_FRAME_LEN] {
    let mut frame = [0; NDP_FRAME_LEN];
    let (header, rest) = frame.split_at_mut(ETHERNET_LEN);
    if let Some(mut ethernet) = MutableEthernetPacket::new(header) {
        ethernet.set_destination(fields.destination);
        ethernet.set_source(fields.source);
        ethernet.set_ethertype(EtherTypes::Ipv6);
    }
    let (header, message) = rest.split_at_mut(IPV6_LEN);
    if let Some(mut ipv6) = MutableIpv6Packet::new(header) {
        ipv6.set_version(6);
        ipv6.set_payload_length(32);
        ipv6.set_next_header(IpNextHeaderProtocols::Icmpv6);
        ipv6.set_hop_limit(HOP_LIMIT);
        ipv6.set_source(fields.from);
        ipv6.set_destination(fields.to);
    }
    if let Some(mut option) = message.get_mut(MESSAGE_LEN..).and_then(MutableNdpOptionPacket::new) {
        option.set_option_type(NdpOptionTypes::TargetLLAddr);
        option.set_length(1);
        option.set_data(&<[u8; 6]>::from(fields.target_mac));
    }
    if let Some(mut advertisement) = MutableNeighborAdvertPacket::new(message) {
        advertisement.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
        advertisement.set_icmpv6_code(Icmpv6Code(0));
        // Override: neighbours must replace the entry that they have cached.
        advertisement.set_flags(OVERRIDE | if fields.solicited { SOLICITED } else { 0 });
        advertisement.set_target_addr(fields.target);
        let sum = Icmpv6Packet::new(advertisement.packet()).map(|icmp| checksum(&icmp, &fields.from, &fields.to));
        advertisement.set_checksum(sum.unwrap_or_default());
    }
    frame
}

#[cfg(test)]
pub(crate) mod tests;
