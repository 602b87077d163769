//! The LAN and the node network: their interfaces, addresses and MACs, and how they carry frames.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use lodestone_speaker_core::{Interface, InterfaceIndex, wire::arp};
use pnet_base::MacAddr;
use rand::RngExt;
use serde_json::json;

use super::{
    ExtraInterface, World,
    schedule::{Delivery, NodeInput},
};

/// The MAC of the client on the LAN.
pub(super) const CLIENT_MAC: MacAddr = MacAddr(2, 0xc, 0, 0, 0, 1);

/// A network of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SimSegment {
    /// Where addresses are announced, and where the client is.
    Lan,
    /// What the nodes use among themselves, if it is not the LAN.
    NodeNetwork,
    /// A second network that connects all nodes, without the client.
    Storage,
    /// The far end of a device that leads nowhere.
    Nowhere,
}

/// A network interface, with the same index and name on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SimInterface {
    Lan,
    NodeNetwork,
    Storage,
    Overlay,
    SecondPort,
}

impl SimInterface {
    const ALL: [Self; 5] = [
        Self::Lan,
        Self::NodeNetwork,
        Self::Storage,
        Self::Overlay,
        Self::SecondPort,
    ];

    pub(super) const fn index(self) -> InterfaceIndex {
        InterfaceIndex(match self {
            Self::Lan => 2,
            Self::NodeNetwork => 3,
            Self::Storage => 4,
            Self::Overlay => 5,
            Self::SecondPort => 6,
        })
    }

    pub(super) fn of_index(index: InterfaceIndex) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|interface| interface.index() == index)
            .unwrap_or(Self::Overlay)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan0",
            Self::NodeNetwork => "eth0",
            Self::Storage => "stor0",
            Self::Overlay => "vxlan0",
            Self::SecondPort => "lan1",
        }
    }

    pub(super) const fn segment(self) -> SimSegment {
        match self {
            Self::Lan | Self::SecondPort => SimSegment::Lan,
            Self::NodeNetwork => SimSegment::NodeNetwork,
            Self::Storage => SimSegment::Storage,
            Self::Overlay => SimSegment::Nowhere,
        }
    }

    /// The first two bytes of its IPv4 address, the offset of the rest, and the prefix length.
    const fn prefix(self) -> ([u8; 2], u32, u8) {
        match self {
            Self::Lan => ([172, 1], 1, 16),
            Self::NodeNetwork => ([10, 1], 1, 16),
            Self::Storage => ([10, 9], 1, 16),
            Self::Overlay => ([10, 244], 1, 32),
            Self::SecondPort => ([172, 1], 0x8001, 16),
        }
    }
}

/// Until when a burst of loss lasts on each segment.
#[derive(Debug, Default)]
pub(super) struct SegmentTimes {
    lan: Option<Instant>,
    node_network: Option<Instant>,
    storage: Option<Instant>,
}

/// Returns the MAC of an interface of a node.
pub(super) fn mac(index: usize, interface: SimInterface) -> MacAddr {
    let [_, _, a, b] = u32::try_from(index).unwrap_or_default().to_be_bytes();
    let number = u8::try_from(interface.index().0 - 2).unwrap_or_default();
    MacAddr(2, number, 0, 0, a, b)
}

/// Returns the IPv4 address of an interface of a node.
pub(super) fn address_on(index: usize, interface: SimInterface) -> IpAddr {
    let ([net, subnet], offset, _) = interface.prefix();
    let [_, _, a, b] = (u32::try_from(index).unwrap_or_default() + offset).to_be_bytes();
    Ipv4Addr::new(net, subnet, a, b).into()
}

impl World {
    /// Returns the interfaces that each node has.
    pub(super) fn present_interfaces(&self) -> Vec<SimInterface> {
        let extra = match self.spec.extra {
            ExtraInterface::None => None,
            ExtraInterface::Overlay => Some(SimInterface::Overlay),
            ExtraInterface::Storage => Some(SimInterface::Storage),
            ExtraInterface::SecondPort => Some(SimInterface::SecondPort),
        };
        let node_network = self.spec.split.then_some(SimInterface::NodeNetwork);
        [SimInterface::Lan]
            .into_iter()
            .chain(node_network)
            .chain(extra)
            .collect()
    }

    /// Whether two nodes exchange messages, directly or through a third one.
    #[must_use]
    pub fn exchange_messages(&self, one: usize, other: usize) -> bool {
        let carriers = [SimInterface::Lan, SimInterface::NodeNetwork, SimInterface::Storage];
        let present = self.present_interfaces();
        let used: Vec<SimInterface> = carriers.into_iter().filter(|used| present.contains(used)).collect();
        let exchange = |one: usize, other: usize| {
            let (one, other) = (&self.nodes[one], &self.nodes[other]);
            let both_ways = |used: &SimInterface| one.reaches(other, *used) && other.reaches(one, *used);
            used.iter().any(both_ways)
        };
        let through = |third: usize| exchange(one, third) && exchange(third, other);
        one == other || exchange(one, other) || (0..self.nodes.len()).any(through)
    }

    /// Returns the interfaces of each node that the client's frames reach.
    pub(super) fn lan_ports(&self) -> impl Iterator<Item = SimInterface> {
        let present = self.present_interfaces().into_iter();
        present.filter(|interface| interface.segment() == SimSegment::Lan)
    }

    /// Returns the interfaces of a node as its kernel reports them.
    pub(super) fn interfaces(&self, index: usize) -> Vec<Interface> {
        let interface = |interface: SimInterface| {
            let number = interface.index();
            let (_, _, length) = interface.prefix();
            let addresses = [
                format!("{}/{length}", address_on(index, interface)),
                format!("fe80::{:x}:{:x}/64", number.0, index + 1),
            ];
            Interface {
                index: number,
                name: interface.name().to_owned(),
                mac: Some(mac(index, interface)),
                running: self.nodes[index].has_carrier(interface),
                can_arp: true,
                enslaved: false,
                excluded: false,
                addresses: addresses.iter().filter_map(|text| text.parse().ok()).collect(),
            }
        };
        self.present_interfaces().into_iter().map(interface).collect()
    }

    /// Returns the latency of each copy of a packet that arrives.
    pub(super) fn arrivals(&mut self, segment: SimSegment) -> Vec<Duration> {
        let (conditions, burst_end) = match segment {
            SimSegment::Lan => (self.lan, &mut self.bursts.lan),
            SimSegment::NodeNetwork => (self.node_network, &mut self.bursts.node_network),
            SimSegment::Storage | SimSegment::Nowhere => (self.node_network, &mut self.bursts.storage),
        };
        if burst_end.is_some_and(|end| self.now < end) {
            return Vec::new();
        }
        if conditions.burst_chance > 0.0 && self.random.random_bool(conditions.burst_chance) {
            *burst_end = Some(self.now + conditions.burst);
        }
        conditions.arrivals(&mut self.random)
    }

    /// Sends a frame of a node.
    pub(super) fn send_frame(&mut self, index: usize, interface: InterfaceIndex, frame: Vec<u8>) {
        let interface = SimInterface::of_index(interface);
        let Some(part) = self.nodes[index].sends_to(interface) else {
            return;
        };
        self.write_record(
            "frame",
            index,
            || json!({"interface": interface.index().0, "bytes": hex(&frame)}),
        );
        let segment = interface.segment();
        self.carry_to_nodes(segment, part, Some((index, interface)), &frame);
        if segment == SimSegment::Lan && self.client.lan_part == part && is_for(&frame, CLIENT_MAC) {
            for latency in self.arrivals(segment) {
                self.schedule
                    .push(self.now + latency, Delivery::ToClient(frame.clone()));
            }
        }
    }

    /// Carries a frame to the interfaces that it is for, on one part of a segment. `sender` is an
    /// interface of a node, or none for the client.
    pub(super) fn carry_to_nodes(
        &mut self,
        segment: SimSegment,
        part: u8,
        sender: Option<(usize, SimInterface)>,
        frame: &[u8],
    ) {
        let mut ports = self.present_interfaces();
        ports.retain(|interface| interface.segment() == segment && segment != SimSegment::Nowhere);
        let targets = (0..self.nodes.len()).flat_map(|target| ports.iter().map(move |interface| (target, *interface)));
        for (target, interface) in targets {
            let node = &self.nodes[target];
            let is_reached =
                node.hears(interface) == Some(part) && node.has_power && is_for(frame, mac(target, interface));
            if Some((target, interface)) == sender || !is_reached {
                continue;
            }
            for latency in self.arrivals(segment) {
                let input = NodeInput::Frame {
                    interface: interface.index(),
                    frame: frame.to_owned(),
                };
                self.schedule.push(self.now + latency, Delivery::ToNode(target, input));
            }
        }
    }

    /// Lets the kernel of a node answer an ARP request for the node's own address.
    pub(super) fn kernel_receives(&mut self, index: usize, interface: InterfaceIndex, frame: &[u8]) {
        let mac = mac(index, SimInterface::of_index(interface));
        // As Linux does, it answers on every interface for the addresses of all.
        let own: Vec<IpAddr> = self
            .present_interfaces()
            .into_iter()
            .map(|interface| address_on(index, interface))
            .collect();
        let is_asked = |packet: &arp::ArpPacket| !packet.reply && own.contains(&IpAddr::from(packet.target));
        let request = arp::ArpPacket::parse(frame).filter(is_asked);
        if let Some(request) = request {
            self.send_frame(index, interface, request.reply(mac, mac).to_vec());
        }
    }
}

/// Whether the destination of a frame is `mac` or a group address.
fn is_for(frame: &[u8], mac: MacAddr) -> bool {
    frame
        .first_chunk::<6>()
        .is_some_and(|destination| destination[0] & 1 == 1 || *destination == <[u8; 6]>::from(mac))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
