//! Neighbor Discovery for IPv6 over Ethernet (RFC 4861): solicitations are read, advertisements are built.
//!
//! The reader is our own: that of `pnet_packet` computes the length of an option in eight bits, and overflows on hostile input.

use std::net::Ipv6Addr;

use pnet_base::MacAddr;
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

/// How long an Ethernet header is.
const ETHERNET: usize = 14;
/// How long an IPv6 header is.
const IPV6: usize = 40;
/// How long a solicitation or an advertisement is without options.
const MESSAGE: usize = 24;
/// How long the option with a link-layer address is.
const OPTION: usize = 8;
/// How long the frames are that are built here.
pub const FRAME: usize = ETHERNET + IPV6 + MESSAGE + OPTION;

/// What a hop limit has to be: a packet of another host on the link has not been forwarded (RFC 4861, section 7.1.1).
const HOPS: u8 = 255;

/// Flags of an advertisement (RFC 4861, section 4.4).
const SOLICITED: u8 = 0b0100_0000;
const OVERRIDE: u8 = 0b0010_0000;

/// All hosts on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A solicitation of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// Where the frame was sent to.
    pub destination: MacAddr,
    /// The MAC of whoever asks: by its option, or where it has none (RFC 4861 allows that of a unicast one) by the frame.
    pub sender_mac: MacAddr,
    /// The address of whoever asks; `::` in Duplicate Address Detection.
    pub sender: Ipv6Addr,
    /// The address that is asked for.
    pub target: Ipv6Addr,
}

/// An advertisement of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Where the frame came from: whoever advertises for another has put that one's MAC into the option, not here.
    pub source: MacAddr,
    /// The address that is advertised.
    pub target: Ipv6Addr,
    /// The MAC that it is at, where the advertisement says so.
    pub target_mac: Option<MacAddr>,
}

/// What is heard of Neighbor Discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Somebody asks.
    Solicitation(Solicitation),
    /// Somebody answers, or speaks up unasked.
    Advertisement(Advertisement),
}

impl Packet {
    /// Reads a frame. `None` for whatever is not a valid Neighbor Solicitation or Advertisement (RFC 4861, sections 7.1.1 and 7.1.2).
    #[must_use]
    pub fn read(frame: &[u8]) -> Option<Self> {
        let mac = |at: usize| Some(MacAddr::from(*frame.get(at..)?.first_chunk::<6>()?));
        let ip = |at: usize| Some(Ipv6Addr::from(*frame.get(at..)?.first_chunk::<16>()?));
        let header: &[u8; IPV6] = frame.get(ETHERNET..)?.first_chunk()?;
        let is_ipv6 = frame.get(12..14)? == [0x86, 0xdd] && header[0] >> 4 == 6;
        if !is_ipv6 || header[6] != IpNextHeaderProtocols::Icmpv6.0 || header[7] != HOPS {
            return None;
        }
        let (sender, to) = (ip(ETHERNET + 8)?, ip(ETHERNET + 24)?);
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        // What follows is padding of the frame.
        let message = frame.get(ETHERNET + IPV6..)?.get(..length)?;
        let icmp = Icmpv6Packet::new(message)?;
        if message.len() < MESSAGE
            || icmp.get_icmpv6_code() != Icmpv6Code(0)
            || checksum(&icmp, &sender, &to) != icmp.get_checksum()
        {
            return None;
        }
        let target = ip(ETHERNET + IPV6 + 8)?;
        let link_layer = |kind: NdpOptionType| link_layer_option(message.get(MESSAGE..)?, kind);
        if icmp.get_icmpv6_type() == Icmpv6Types::NeighborAdvert {
            // The flag Solicited in an answer to everybody is none (section 7.1.2).
            let solicited = message.get(4)? & SOLICITED != 0;
            let sound = !(target.is_multicast() || solicited && to.is_multicast());
            return sound.then_some(Self::Advertisement(Advertisement {
                source: mac(6)?,
                target,
                target_mac: link_layer(NdpOptionTypes::TargetLLAddr)?,
            }));
        }
        if icmp.get_icmpv6_type() != Icmpv6Types::NeighborSolicit {
            return None;
        }
        let source = link_layer(NdpOptionTypes::SourceLLAddr)?;
        // Whoever has no address yet sends to the solicited-node group, and has nothing to be answered at.
        let probes = sender.is_unspecified();
        let sound = !target.is_multicast() && !(probes && (source.is_some() || to != solicited_node(target)));
        sound.then_some(Self::Solicitation(Solicitation {
            destination: mac(0)?,
            sender_mac: source.map_or_else(|| mac(6), Some)?,
            sender,
            target,
        }))
    }
}

impl Solicitation {
    /// The answer to it: that the address is at `mac`. The frame comes from `source`, with that host's `link_local` address. Whoever has no
    /// address yet hears it as all others do.
    #[must_use]
    pub fn answer(&self, source: MacAddr, mac: MacAddr, link_local: Option<Ipv6Addr>) -> [u8; FRAME] {
        let probes = self.sender.is_unspecified();
        build(&Fields {
            destination: if probes {
                multicast_mac(ALL_NODES)
            } else {
                self.sender_mac
            },
            source,
            from: link_local.unwrap_or(self.target),
            to: if probes { ALL_NODES } else { self.sender },
            solicited: !probes,
            target: self.target,
            target_mac: mac,
        })
    }
}

/// The unsolicited advertisement that tells every neighbour on the segment that `address` is at `mac` (RFC 4861, section 7.2.6).
#[must_use]
pub fn unsolicited(mac: MacAddr, link_local: Option<Ipv6Addr>, address: Ipv6Addr) -> [u8; FRAME] {
    build(&Fields {
        destination: multicast_mac(ALL_NODES),
        source: mac,
        from: link_local.unwrap_or(address),
        to: ALL_NODES,
        solicited: false,
        target: address,
        target_mac: mac,
    })
}

/// Asks whoever has `target`. Without a link-local address of its own it is what Duplicate Address Detection asks (RFC 4862, section
/// 5.4.2).
#[must_use]
pub fn solicit(mac: MacAddr, link_local: Option<Ipv6Addr>, target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    let mut frame = build(&Fields {
        destination: multicast_mac(group),
        source: mac,
        from: link_local.unwrap_or(Ipv6Addr::UNSPECIFIED),
        to: group,
        solicited: false,
        target,
        target_mac: mac,
    })
    .to_vec();
    if link_local.is_none() {
        frame.truncate(FRAME - OPTION);
    }
    let length = frame.len();
    let (header, message) = frame.split_at_mut(ETHERNET + IPV6);
    if let Some(mut ipv6) = header.get_mut(ETHERNET..).and_then(MutableIpv6Packet::new) {
        ipv6.set_payload_length(u16::try_from(length - ETHERNET - IPV6).unwrap_or_default());
    }
    if let Some(mut option) = message.get_mut(MESSAGE..).and_then(MutableNdpOptionPacket::new) {
        option.set_option_type(NdpOptionTypes::SourceLLAddr);
    }
    if let Some(mut solicitation) = MutableNeighborSolicitPacket::new(message) {
        solicitation.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
        // Four bytes that are the flags of an advertisement.
        solicitation.set_reserved(0);
        let from = link_local.unwrap_or(Ipv6Addr::UNSPECIFIED);
        let sum = Icmpv6Packet::new(solicitation.packet()).map(|icmp| checksum(&icmp, &from, &group));
        solicitation.set_checksum(sum.unwrap_or_default());
    }
    frame
}

/// The group that hosts which have `address` listen to (RFC 4291, section 2.7.1).
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (a & 0xff), b)
}

/// The Ethernet address of a group (RFC 2464, section 7).
const fn multicast_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr(0x33, 0x33, a, b, c, d)
}

/// The link-layer address of this kind among the options; `None`: they are malformed.
#[expect(clippy::option_option, reason = "malformed, absent, or there")]
fn link_layer_option(mut options: &[u8], wanted: NdpOptionType) -> Option<Option<MacAddr>> {
    let mut source = None;
    while let [kind, length, ..] = options {
        // In units of eight bytes; a length of none is malformed (RFC 4861, section 4.6).
        let length = usize::from(*length) * 8;
        let option = options.get(..length).filter(|option| !option.is_empty())?;
        if wanted.0 == *kind && length == OPTION {
            source = option.get(2..)?.first_chunk::<6>().map(|mac| MacAddr::from(*mac));
        }
        options = options.get(length..)?;
    }
    options.is_empty().then_some(source)
}

struct Fields {
    destination: MacAddr,
    source: MacAddr,
    from: Ipv6Addr,
    to: Ipv6Addr,
    solicited: bool,
    target: Ipv6Addr,
    target_mac: MacAddr,
}

fn build(fields: &Fields) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    let (header, rest) = frame.split_at_mut(ETHERNET);
    if let Some(mut ethernet) = MutableEthernetPacket::new(header) {
        ethernet.set_destination(fields.destination);
        ethernet.set_source(fields.source);
        ethernet.set_ethertype(EtherTypes::Ipv6);
    }
    let (header, message) = rest.split_at_mut(IPV6);
    if let Some(mut ipv6) = MutableIpv6Packet::new(header) {
        ipv6.set_version(6);
        ipv6.set_payload_length(32);
        ipv6.set_next_header(IpNextHeaderProtocols::Icmpv6);
        ipv6.set_hop_limit(HOPS);
        ipv6.set_source(fields.from);
        ipv6.set_destination(fields.to);
    }
    if let Some(mut option) = message.get_mut(MESSAGE..).and_then(MutableNdpOptionPacket::new) {
        option.set_option_type(NdpOptionTypes::TargetLLAddr);
        option.set_length(1);
        option.set_data(&<[u8; 6]>::from(fields.target_mac));
    }
    if let Some(mut advertisement) = MutableNeighborAdvertPacket::new(message) {
        advertisement.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
        advertisement.set_icmpv6_code(Icmpv6Code(0));
        // It is the truth of now: whatever a neighbour has known before is to go.
        advertisement.set_flags(OVERRIDE | if fields.solicited { SOLICITED } else { 0 });
        advertisement.set_target_addr(fields.target);
        let sum = Icmpv6Packet::new(advertisement.packet()).map(|icmp| checksum(&icmp, &fields.from, &fields.to));
        advertisement.set_checksum(sum.unwrap_or_default());
    }
    frame
}

#[cfg(test)]
pub(crate) mod tests;
