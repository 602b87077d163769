//! The client on the LAN: its neighbour table, and the answers to its requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use lodestone_speaker_core::{
    ClusterSnapshot,
    wire::{arp, ndp},
};
use pnet_base::MacAddr;

use super::{
    World,
    network::{CLIENT_MAC, SimInterface, SimSegment, mac},
};

const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(172, 1, 255, 1);

const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xffff, 1);

/// A host on the LAN that uses the addresses.
#[derive(Debug, Default)]
pub struct LanClient {
    /// Its part of the LAN.
    pub lan_part: u8,
    /// Its neighbour table: the MAC that it sends to, by address.
    pub neighbours: BTreeMap<IpAddr, MacAddr>,
    /// The MACs that answered its last request for each address.
    pub answers: BTreeMap<IpAddr, BTreeSet<MacAddr>>,
}

/// An ARP reply or neighbor advertisement.
struct Advertised {
    address: IpAddr,
    mac: MacAddr,
    /// Whether it answers a request of the client.
    solicited: bool,
}

impl LanClient {
    /// Updates the neighbour table from a frame. Frames about other than Service addresses do
    /// nothing.
    pub(super) fn receive(&mut self, frame: &[u8], snapshot: &ClusterSnapshot) {
        let Some(advertised) = read(frame) else { return };
        let Advertised {
            address,
            mac,
            solicited,
        } = advertised;
        if !snapshot.addresses.contains_key(&address) {
            return;
        }
        if solicited {
            self.answers.entry(address).or_default().insert(mac);
            // The request stands for that of a host with an empty neighbour table. In a table with
            // an entry, only gratuitous ARP or an unsolicited advertisement changes it.
            self.neighbours.entry(address).or_insert(mac);
        } else {
            self.neighbours.insert(address, mac);
        }
    }
}

fn read(frame: &[u8]) -> Option<Advertised> {
    if let Some(packet) = arp::ArpPacket::parse(frame) {
        return Some(Advertised {
            address: packet.sender.into(),
            mac: packet.sender_mac,
            solicited: packet.reply && packet.destination == CLIENT_MAC,
        });
    }
    let Some(ndp::NdpPacket::Advertisement(packet)) = ndp::NdpPacket::parse(frame) else {
        return None;
    };
    Some(Advertised {
        address: packet.target.into(),
        mac: packet.target_mac.unwrap_or(packet.source),
        solicited: frame.first_chunk::<6>() == Some(&<[u8; 6]>::from(CLIENT_MAC)),
    })
}

impl World {
    /// Sends the client's request for an address, as if its neighbour table were empty.
    pub fn send_client_request(&mut self, address: IpAddr) {
        self.client.answers.remove(&address);
        let frame = match address {
            IpAddr::V4(v4) => arp::request(CLIENT_MAC, CLIENT_V4, v4).into(),
            IpAddr::V6(v6) => ndp::solicitation(CLIENT_MAC, Some(CLIENT_V6), v6),
        };
        self.carry_to_nodes(SimSegment::Lan, self.client.lan_part, None, &frame);
    }

    /// Returns the MACs that the client would get in answer to a request for an address, if nothing
    /// were lost. The speakers do not notice, so the LAN can be quiet.
    #[must_use]
    pub fn responders(&self, address: IpAddr) -> BTreeSet<MacAddr> {
        let running = self.nodes.iter().filter(|node| node.has_running_speaker(self.now));
        let ports = running.flat_map(|node| self.lan_ports().map(move |interface| (node, interface)));
        ports
            .filter(|(node, interface)| node.sends_to(*interface) == Some(self.client.lan_part))
            .filter_map(|(node, interface)| node.speaker.as_ref()?.answer_for(interface.index(), address))
            .collect()
    }

    /// Lets the client's kernel answer a request for the client's own address.
    pub(super) fn client_receives(&mut self, frame: &[u8]) {
        let answer: Option<Vec<u8>> = if let Some(packet) = arp::ArpPacket::parse(frame) {
            let asks = !packet.reply && packet.target == CLIENT_V4;
            asks.then(|| packet.reply(CLIENT_MAC, CLIENT_MAC).into())
        } else if let Some(ndp::NdpPacket::Solicitation(packet)) = ndp::NdpPacket::parse(frame) {
            (packet.target == CLIENT_V6).then(|| packet.reply(CLIENT_MAC, CLIENT_MAC, Some(CLIENT_V6)).into())
        } else {
            None
        };
        if let Some(answer) = answer {
            self.carry_to_nodes(SimSegment::Lan, self.client.lan_part, None, &answer);
        }
        self.client.receive(frame, &self.snapshot);
    }

    /// Returns the node that has a MAC on the LAN.
    #[must_use]
    pub fn node_with_mac(&self, mac: MacAddr) -> Option<usize> {
        self.port_with_mac(mac).map(|(index, _)| index)
    }

    fn port_with_mac(&self, mac: MacAddr) -> Option<(usize, SimInterface)> {
        let ports = |index| self.lan_ports().map(move |interface| (index, interface));
        let mut all = (0..self.nodes.len()).flat_map(ports);
        all.find(|(index, interface)| self::mac(*index, *interface) == mac)
    }

    /// Whether traffic that the client sends to a MAC reaches a node that can forward it.
    #[must_use]
    pub fn serves(&self, mac: MacAddr) -> bool {
        let reached = |(index, interface): (usize, SimInterface)| {
            self.is_reachable(index) && self.nodes[index].has_carrier(interface)
        };
        self.port_with_mac(mac).is_some_and(reached)
    }

    /// Whether a node could serve an address of any Service. It is eligible, its speaker can own an
    /// address, and it and the client reach each other.
    #[must_use]
    pub fn is_well(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        node.can_own(self.now) && self.is_reachable(index) && self.is_eligible(index)
    }

    /// Whether client and node reach each other over the LAN and the node's kernel runs. The state
    /// of its speaker does not matter.
    #[must_use]
    pub fn is_reachable(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        let mut ports = self.lan_ports();
        let is_on_lan = ports.any(|interface| node.sends_to(interface) == Some(self.client.lan_part));
        node.has_power && is_on_lan && !node.is_stalled(self.now)
    }
}
