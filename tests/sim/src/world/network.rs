//! The LAN and the network between the nodes, as what carries frames; the client, and the kernels of the nodes.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use lodestone_speaker::wire::{arp, ndp};
use pnet_base::MacAddr;
use rand::RngExt;
use serde_json::json;

use super::{CLIENT, World, schedule::Event};

/// The interface that addresses are announced on, at every node.
pub(super) const LAN: u32 = 2;

/// The interface of the network between the nodes, where that is another one.
pub(super) const BETWEEN: u32 = 3;

/// The MAC of a node on one of its interfaces.
pub(super) fn mac(index: usize, interface: u32) -> MacAddr {
    let [_, _, a, b] = u32::try_from(index).unwrap_or_default().to_be_bytes();
    MacAddr(2, u8::from(interface == BETWEEN), 0, 0, a, b)
}

impl World {
    /// The address of a node on one of its interfaces.
    pub(super) fn address_on(&self, index: usize, interface: u32) -> IpAddr {
        let [_, _, a, b] = u32::try_from(index + 1).unwrap_or_default().to_be_bytes();
        let net = if interface == LAN { 172 } else { 10 };
        Ipv4Addr::new(net, 1, a, b).into()
    }

    /// The address of a node in Kubernetes.
    pub(super) fn node_address(&self, index: usize) -> IpAddr {
        self.address_on(index, if self.plan.split { BETWEEN } else { LAN })
    }

    pub(super) fn weather(&mut self, lan: bool) -> Vec<Duration> {
        let weather = if lan { self.lan } else { self.between };
        let lost = &mut self.lost_until[usize::from(lan)];
        if lost.is_some_and(|until| self.now < until) {
            return Vec::new();
        }
        if weather.burst_chance > 0.0 && self.random.random_bool(weather.burst_chance) {
            *lost = Some(self.now + weather.burst);
        }
        weather.arrivals(&mut self.random)
    }

    /// Sends a frame of a node on one of its interfaces.
    pub(super) fn send_frame(&mut self, index: usize, interface: u32, frame: Vec<u8>) {
        let node = &self.nodes[index];
        let part = if interface == LAN {
            if !node.carrier || node.mute {
                return;
            }
            node.lan
        } else {
            node.peers
        };
        self.write("frame", index, || json!({"interface": interface, "bytes": hex(&frame)}));
        self.carry(interface, part, Some(index), frame);
    }

    /// Carries a frame to whom it is for, on one part of a network.
    fn carry(&mut self, interface: u32, part: u8, from: Option<usize>, frame: Vec<u8>) {
        let Some(destination) = frame.first_chunk::<6>().copied() else {
            return;
        };
        let to_all = destination[0] & 1 == 1;
        for target in 0..self.nodes.len() {
            let node = &self.nodes[target];
            let for_it = to_all || destination == <[u8; 6]>::from(mac(target, interface));
            let is_there = if interface == LAN {
                node.lan == part && node.carrier
            } else {
                node.peers == part
            };
            if Some(target) != from && is_there && node.up && for_it {
                for after in self.weather(interface == LAN) {
                    self.push(self.now + after, Event::Frame(target, interface, frame.clone()));
                }
            }
        }
        let for_client = interface == LAN && (to_all || destination == <[u8; 6]>::from(CLIENT));
        if from.is_some() && self.client_lan == part && for_client {
            for after in self.weather(true) {
                self.push(self.now + after, Event::ToClient(frame.clone()));
            }
        }
    }

    /// The kernel of a node answers for the address that the node has on the interface.
    pub(super) fn kernel_hears(&mut self, index: usize, interface: u32, frame: &[u8]) {
        let (mac, own) = (mac(index, interface), self.address_on(index, interface));
        let answer = arp::Packet::read(frame)
            .filter(|packet| !packet.reply && IpAddr::from(packet.target) == own)
            .map(|packet| packet.answer(mac, mac).to_vec());
        if let Some(answer) = answer {
            self.send_frame(index, interface, answer);
        }
    }

    /// The client asks for an address, as one that knows nothing does.
    pub fn client_asks(&mut self, address: IpAddr) {
        self.answers.remove(&address);
        let frame = match address {
            IpAddr::V4(v4) => arp::request(CLIENT, Ipv4Addr::new(172, 1, 255, 1), v4).into(),
            IpAddr::V6(v6) => ndp::solicit(CLIENT, Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xffff, 1)), v6),
        };
        self.carry(LAN, self.client_lan, None, frame);
    }

    pub(super) fn client_hears(&mut self, frame: &[u8]) {
        let (address, mac, solicited) = if let Some(packet) = arp::Packet::read(frame) {
            (
                IpAddr::from(packet.sender),
                packet.sender_mac,
                packet.reply && packet.destination == CLIENT,
            )
        } else if let Some(ndp::Packet::Advertisement(packet)) = ndp::Packet::read(frame) {
            let to_client = frame.first_chunk::<6>() == Some(&<[u8; 6]>::from(CLIENT));
            (
                packet.target.into(),
                packet.target_mac.unwrap_or(packet.source),
                to_client,
            )
        } else {
            return;
        };
        if !self.facts.addresses.contains_key(&address) {
            return;
        }
        if solicited {
            self.answers.entry(address).or_default().insert(mac);
            // It asks as another would: what it knows, only those who speak up unasked change.
            self.cache.entry(address).or_insert(mac);
            return;
        }
        self.cache.insert(address, mac);
    }

    /// The node that has a MAC.
    #[must_use]
    pub fn node_of(&self, mac: MacAddr) -> Option<usize> {
        (0..self.nodes.len()).find(|index| self::mac(*index, LAN) == mac)
    }

    /// Whether what the client sends to a MAC arrives at a node that carries it on.
    #[must_use]
    pub fn serves(&self, mac: MacAddr) -> bool {
        self.node_of(mac).is_some_and(|index| self.is_on_lan(index))
    }

    /// Whether a node is there for the client, whatever becomes of its speaker.
    #[must_use]
    pub fn is_on_lan(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        node.up
            && node.carrier
            && node.lan == self.client_lan
            && !node.mute
            && node.stalled_until.is_none_or(|until| self.now >= until)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
