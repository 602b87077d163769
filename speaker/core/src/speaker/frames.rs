//! What is heard on the LAN, and what is answered.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use pnet_base::MacAddr;

use super::{Event, Output, Port, Speaker};
use crate::wire::{arp, ndp};

/// Which protocol a frame is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameKind {
    /// ARP.
    Arp,
    /// Neighbor Discovery.
    Ndp,
}

/// Who says what in a frame that was heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) interface: u32,
    /// Where the frame came from.
    pub(super) source: MacAddr,
    /// The address that is said to be at `mac`.
    pub(super) address: IpAddr,
    pub(super) mac: MacAddr,
}

impl Speaker {
    /// Takes in a frame, and gives back the answer to it: to be sent where it came from.
    pub fn handle_frame(&mut self, now: Instant, interface: u32, kind: FrameKind, frame: &[u8]) -> Option<Vec<u8>> {
        match kind {
            FrameKind::Arp => match arp::Packet::read(frame) {
                Some(packet) => self.arp(now, interface, &packet),
                None => self.malformed(0),
            },
            FrameKind::Ndp => match ndp::Packet::read(frame) {
                Some(packet) => self.ndp(now, interface, &packet),
                None => self.malformed(1),
            },
        }
    }

    /// Counts a request for an address that is owned, and whether it is answered.
    fn count_request(&mut self, address: IpAddr, answered: bool) {
        if self.owned.contains_key(&address) {
            let traffic = self.counts.traffic.entry(address).or_default();
            traffic.requests = traffic.requests.saturating_add(1);
            traffic.responses = traffic.responses.saturating_add(answered.into());
        }
    }

    fn malformed(&mut self, kind: usize) -> Option<Vec<u8>> {
        let count = &mut self.counts.malformed[kind];
        *count = count.saturating_add(1);
        None
    }

    fn arp(&mut self, now: Instant, interface: u32, packet: &arp::Packet) -> Option<Vec<u8>> {
        if packet.destination.is_broadcast() {
            self.neighbours.heard_broadcast(now, interface);
        }
        if packet.sender != Ipv4Addr::UNSPECIFIED {
            self.said(
                now,
                Said {
                    interface,
                    source: packet.source,
                    address: packet.sender.into(),
                    mac: packet.sender_mac,
                },
            );
        } else if !packet.reply && !self.probes.is_clear(packet.target.into()) {
            // Somebody else is about to take it, too (RFC 5227, section 2.1.1).
            self.claimed_elsewhere(now, packet.target.into(), packet.sender_mac);
        }
        if packet.reply {
            return None;
        }
        let (port, mac) = self.answers_for(interface, packet.target.into())?;
        // A frame for another host that reached us is for that host to answer.
        let for_us = packet.destination.is_broadcast() || packet.destination == port.mac;
        // Whoever says that it has the address itself does not ask.
        let asks = packet.sender != packet.target;
        let answer = (for_us && asks).then(|| packet.answer(port.mac, mac).into());
        self.count_request(packet.target.into(), answer.is_some());
        answer
    }

    fn ndp(&mut self, now: Instant, interface: u32, packet: &ndp::Packet) -> Option<Vec<u8>> {
        match packet {
            ndp::Packet::Advertisement(advertisement) => {
                self.said(
                    now,
                    Said {
                        interface,
                        source: advertisement.source,
                        address: advertisement.target.into(),
                        mac: advertisement.target_mac.unwrap_or(advertisement.source),
                    },
                );
                None
            }
            ndp::Packet::Solicitation(solicitation) => {
                let target = IpAddr::from(solicitation.target);
                if solicitation.sender.is_unspecified() && !self.probes.is_clear(target) {
                    self.claimed_elsewhere(now, target, solicitation.sender_mac);
                } else {
                    self.neighbours.heard(now, interface);
                }
                let (port, mac) = self.answers_for(interface, target)?;
                let for_us = solicitation.destination.is_multicast() || solicitation.destination == port.mac;
                let answer = for_us.then(|| solicitation.answer(port.mac, mac, port.link_local).into());
                self.count_request(target, answer.is_some());
                answer
            }
        }
    }

    /// On which interface, and with which MAC, an address is answered for.
    pub(super) fn answers_for(&self, interface: u32, address: IpAddr) -> Option<(&Port, MacAddr)> {
        if self.listening {
            return None;
        }
        if let Some(announced) = self.owned.get(&address) {
            let port = announced.on.iter().find(|port| port.index == interface)?;
            return self.probes.is_clear(address).then_some((port, port.mac));
        }
        let stand_in = self.stood_in.get(&address)?;
        let (port, mac) = stand_in.on.iter().find(|(port, _)| port.index == interface)?;
        Some((port, (*mac).into()))
    }

    /// Takes in who says to be where.
    fn said(&mut self, now: Instant, said: Said) {
        self.hear_on_wire(now, &said);
        if self.owned.contains_key(&said.address) && !self.is_of_cluster(said.mac) {
            self.claimed_elsewhere(now, said.address, said.mac);
        }
    }

    /// Whether a MAC is ours, or that of another node.
    pub(super) fn is_of_cluster(&self, mac: MacAddr) -> bool {
        let ours = self
            .interfaces
            .iter()
            .flatten()
            .any(|interface| interface.mac == Some(mac));
        ours || self.macs.contains_key(&<[u8; 6]>::from(mac))
    }

    /// A host that is none of the cluster's has an address of ours, or wants it.
    fn claimed_elsewhere(&mut self, now: Instant, address: IpAddr, mac: MacAddr) {
        if self.is_of_cluster(mac) || !self.owned.contains_key(&address) {
            return;
        }
        let known = self.probes.taken_by(address);
        let defend = self.probes.foreign(now, address, mac);
        if defend {
            self.announce(address);
        }
        if defend || (known.is_none() && self.probes.taken_by(address).is_some()) {
            let services = self
                .owned
                .get(&address)
                .map(|announced| announced.owned.services.clone());
            self.outputs.push_back(Output::Event(Event::Conflict {
                address,
                services: services.unwrap_or_default(),
                mac,
                announced: defend,
            }));
        }
    }

    /// Asks for addresses that are about to be answered for, and begins with those that nobody has.
    pub(super) fn probe(&mut self, now: Instant) {
        if self.probes.next().is_none_or(|next| next > now) {
            return;
        }
        let (ask, clear) = self.probes.due(now);
        for address in ask {
            let Some(announced) = self.owned.get(&address) else {
                self.probes.forget(address);
                continue;
            };
            for port in &announced.on {
                let frame = match address {
                    IpAddr::V4(v4) => arp::request(port.mac, Ipv4Addr::UNSPECIFIED, v4).into(),
                    IpAddr::V6(v6) => ndp::solicit(port.mac, None, v6),
                };
                self.outputs.push_back(Output::Frame {
                    interface: port.index,
                    frame,
                });
            }
        }
        let mut proven = Vec::new();
        for address in clear {
            if self.owned.contains_key(&address) {
                self.announcements.begin(now, address);
                self.soon(now);
                proven.extend(self.claims.clear(&self.me, address));
            }
        }
        self.tell_claims(&proven);
    }

    /// Says unasked where an address is.
    pub(super) fn announce(&mut self, address: IpAddr) {
        let Some(announced) = self.owned.get(&address).filter(|_| self.probes.is_clear(address)) else {
            return;
        };
        for port in &announced.on {
            let frames: Vec<Vec<u8>> = match address {
                IpAddr::V4(v4) => arp::gratuitous(port.mac, v4).map(Vec::from).into(),
                IpAddr::V6(v6) => vec![ndp::unsolicited(port.mac, port.link_local, v6).into()],
            };
            let traffic = self.counts.traffic.entry(address).or_default();
            traffic.gratuitous = traffic
                .gratuitous
                .saturating_add(u64::try_from(frames.len()).unwrap_or(u64::MAX));
            self.outputs.extend(frames.into_iter().map(|frame| Output::Frame {
                interface: port.index,
                frame,
            }));
        }
    }
}
