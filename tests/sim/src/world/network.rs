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
    World,
    schedule::{Delivery, NodeInput},
};

/// The MAC of the client on the LAN.
pub(super) const CLIENT_MAC: MacAddr = MacAddr(2, 0xc, 0, 0, 0, 1);

/// The interface on the LAN, on every node.
const LAN_INTERFACE: InterfaceIndex = InterfaceIndex(2);

/// A layer-2 network that connects all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SimSegment {
    /// Where addresses are announced, and where the client is.
    Lan,
    /// What the nodes use among themselves, if it is not the LAN.
    NodeNetwork,
}

impl SimSegment {
    /// Returns the index of the interface on this segment, the same on every node.
    pub(super) const fn interface(self) -> InterfaceIndex {
        match self {
            Self::Lan => LAN_INTERFACE,
            Self::NodeNetwork => InterfaceIndex(3),
        }
    }

    pub(super) fn of_interface(index: InterfaceIndex) -> Self {
        if index == Self::Lan.interface() {
            Self::Lan
        } else {
            Self::NodeNetwork
        }
    }

    const fn interface_name(self) -> &'static str {
        match self {
            Self::Lan => "lan0",
            Self::NodeNetwork => "eth0",
        }
    }
}

/// Until when a burst of loss lasts on each segment.
#[derive(Debug, Default)]
pub(super) struct SegmentTimes {
    lan: Option<Instant>,
    node_network: Option<Instant>,
}

/// Returns the MAC of a node on a segment.
pub(super) fn mac(index: usize, segment: SimSegment) -> MacAddr {
    let [_, _, a, b] = u32::try_from(index).unwrap_or_default().to_be_bytes();
    MacAddr(2, u8::from(segment == SimSegment::NodeNetwork), 0, 0, a, b)
}

/// Returns the IPv4 address of a node on a segment.
pub(super) fn address_on(index: usize, segment: SimSegment) -> IpAddr {
    let [_, _, a, b] = u32::try_from(index + 1).unwrap_or_default().to_be_bytes();
    let net = if segment == SimSegment::Lan { 172 } else { 10 };
    Ipv4Addr::new(net, 1, a, b).into()
}

impl World {
    /// Returns the interfaces of a node as its kernel reports them.
    pub(super) fn interfaces(&self, index: usize) -> Vec<Interface> {
        let interface = |segment: SimSegment| {
            let number = segment.interface();
            let addresses = [
                format!("{}/16", address_on(index, segment)),
                format!("fe80::{:x}:{:x}/64", number.0, index + 1),
            ];
            Interface {
                index: number,
                name: segment.interface_name().to_owned(),
                mac: Some(mac(index, segment)),
                running: segment != SimSegment::Lan || self.nodes[index].carrier,
                can_arp: true,
                enslaved: false,
                excluded: false,
                addresses: addresses.iter().filter_map(|text| text.parse().ok()).collect(),
            }
        };
        let node_network = self.spec.split.then(|| interface(SimSegment::NodeNetwork));
        [interface(SimSegment::Lan)].into_iter().chain(node_network).collect()
    }

    /// Returns the latency of each copy of a packet that arrives.
    pub(super) fn arrivals(&mut self, segment: SimSegment) -> Vec<Duration> {
        let (conditions, burst_end) = match segment {
            SimSegment::Lan => (self.lan, &mut self.bursts.lan),
            SimSegment::NodeNetwork => (self.node_network, &mut self.bursts.node_network),
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
        let segment = SimSegment::of_interface(interface);
        let Some(part) = self.nodes[index].sends_to(segment) else {
            return;
        };
        self.write_record(
            "frame",
            index,
            || json!({"interface": interface.0, "bytes": hex(&frame)}),
        );
        self.carry_to_nodes(segment, part, Some(index), &frame);
        if segment == SimSegment::Lan && self.client.lan_part == part && is_for(&frame, CLIENT_MAC) {
            for latency in self.arrivals(segment) {
                self.schedule
                    .push(self.now + latency, Delivery::ToClient(frame.clone()));
            }
        }
    }

    /// Carries a frame to the nodes that it is for, on one part of a segment. `sender` is a node,
    /// or none for the client.
    pub(super) fn carry_to_nodes(&mut self, segment: SimSegment, part: u8, sender: Option<usize>, frame: &[u8]) {
        for target in 0..self.nodes.len() {
            let node = &self.nodes[target];
            let is_reached = node.hears(segment) == Some(part) && node.has_power && is_for(frame, mac(target, segment));
            if Some(target) == sender || !is_reached {
                continue;
            }
            for latency in self.arrivals(segment) {
                let input = NodeInput::Frame {
                    interface: segment.interface(),
                    frame: frame.to_owned(),
                };
                self.schedule.push(self.now + latency, Delivery::ToNode(target, input));
            }
        }
    }

    /// Lets the kernel of a node answer an ARP request for the node's own address.
    pub(super) fn kernel_receives(&mut self, index: usize, interface: InterfaceIndex, frame: &[u8]) {
        let segment = SimSegment::of_interface(interface);
        let (mac, own) = (mac(index, segment), address_on(index, segment));
        let request = arp::ArpPacket::parse(frame).filter(|packet| !packet.reply && IpAddr::from(packet.target) == own);
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
