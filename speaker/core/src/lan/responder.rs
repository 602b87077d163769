//! Reads ARP and NDP frames, and answers requests for the addresses of this node.

use std::net::{IpAddr, Ipv4Addr};

use super::{AddressUse, FrameOutcome, Lan, conflict_detection::Defend};
use crate::{
    context::Turn,
    event::{Event, ForeignConflictResponse, PeerConflictResponse},
    node::interface::InterfacePort,
    stats::increment,
    types::{InterfaceIndex, MacAddr, NodeName},
    wire::{FrameKind, arp::ArpPacket, ndp::NdpPacket},
};

impl Lan {
    /// Handles a frame.
    pub(crate) fn handle_frame(
        &mut self,
        turn: &mut Turn<'_>,
        interface: InterfaceIndex,
        kind: FrameKind,
        frame: &[u8],
    ) -> FrameOutcome {
        let outcome = match kind {
            FrameKind::Arp => ArpPacket::parse(frame).map(|packet| self.handle_arp(turn, interface, &packet)),
            FrameKind::Ndp => NdpPacket::parse(frame).map(|packet| self.handle_ndp(turn, interface, &packet)),
        };
        let Some(mut outcome) = outcome else {
            turn.stats.malformed.count(kind);
            return FrameOutcome::default();
        };
        let source = frame.get(6..12).and_then(|source| source.first_chunk::<6>());
        outcome.is_new_mac = source.is_some_and(|source| self.note_mac(turn.now, interface, (*source).into()));
        outcome
    }

    fn handle_arp(&mut self, turn: &mut Turn<'_>, interface: InterfaceIndex, packet: &ArpPacket) -> FrameOutcome {
        if packet.destination.is_broadcast() && !self.own_macs.contains(&packet.source) {
            self.neighbours.note_broadcast(turn.now, interface);
        }
        let (mut peer_use, mut peer_probe) = (None, None);
        if packet.sender != Ipv4Addr::UNSPECIFIED {
            let seen = AddressUse {
                interface,
                source: packet.source,
                address: packet.sender.into(),
                mac: packet.sender_mac,
            };
            peer_use = self.note_address_use(turn, seen);
        } else if !packet.reply {
            peer_probe = self.handle_probe(turn, packet.target.into(), packet.sender_mac);
        }
        let reply = if packet.reply {
            None
        } else {
            self.arp_reply(turn, interface, packet)
        };
        FrameOutcome {
            reply,
            peer_use,
            peer_probe,
            is_new_mac: false,
        }
    }

    fn arp_reply(&self, turn: &mut Turn<'_>, interface: InterfaceIndex, packet: &ArpPacket) -> Option<Vec<u8>> {
        let target = packet.target.into();
        let (port, mac) = self.answer_for(turn, interface, target)?;
        // A frame for another host that reached this one is for that host to answer.
        let for_us = packet.destination.is_broadcast() || packet.destination == port.mac;
        // A host that says that it has the address does not ask.
        let asks = packet.sender != packet.target;
        let reply = (for_us && asks).then(|| packet.reply(port.mac, mac).into());
        self.count_request(turn, target, reply.is_some());
        reply
    }

    fn handle_ndp(&mut self, turn: &mut Turn<'_>, interface: InterfaceIndex, packet: &NdpPacket) -> FrameOutcome {
        match packet {
            NdpPacket::Advertisement(advertisement) => {
                let seen = AddressUse {
                    interface,
                    source: advertisement.source,
                    address: advertisement.target.into(),
                    mac: advertisement.target_mac.unwrap_or(advertisement.source),
                };
                FrameOutcome {
                    peer_use: self.note_address_use(turn, seen),
                    ..FrameOutcome::default()
                }
            }
            NdpPacket::Solicitation(solicitation) => {
                let target = IpAddr::from(solicitation.target);
                let mut peer_probe = None;
                if solicitation.sender.is_unspecified() && !self.conflicts.is_clear(target) {
                    peer_probe = self.handle_probe(turn, target, solicitation.sender_mac);
                } else if !self.own_macs.contains(&solicitation.sender_mac) {
                    self.neighbours.note_heard(turn.now, interface);
                }
                let reply = self.answer_for(turn, interface, target).and_then(|(port, mac)| {
                    let for_us = solicitation.destination.is_multicast() || solicitation.destination == port.mac;
                    let reply = for_us.then(|| solicitation.reply(port.mac, mac, port.link_local).into());
                    self.count_request(turn, target, reply.is_some());
                    reply
                });
                FrameOutcome {
                    reply,
                    peer_probe,
                    ..FrameOutcome::default()
                }
            }
        }
    }

    /// The port and the MAC that this node answers with for an address on an interface.
    pub(crate) fn answer_for(
        &self,
        turn: &Turn<'_>,
        interface: InterfaceIndex,
        address: IpAddr,
    ) -> Option<(&InterfacePort, MacAddr)> {
        if turn.context.listening {
            return None;
        }
        self.answer_after_listening(interface, address)
    }

    /// Returns the port and the MAC as [`Self::answer_for`] does, also while this speaker listens.
    pub(crate) fn answer_after_listening(
        &self,
        interface: InterfaceIndex,
        address: IpAddr,
    ) -> Option<(&InterfacePort, MacAddr)> {
        if let Some(announcement) = self.owned.get(&address) {
            let port = announcement.ports.iter().find(|port| port.index == interface)?;
            return self.conflicts.is_clear(address).then_some((port, port.mac));
        }
        // mutation: deputy-does-not-answer
        let duty = self.duties.get(&address)?;
        let (port, mac) = duty.ports.iter().find(|(port, _)| port.index == interface)?;
        // mutation: deputy-uses-own-mac
        Some((port, *mac))
    }

    /// Counts a request for an owned address, and whether it is answered.
    fn count_request(&self, turn: &mut Turn<'_>, address: IpAddr, answered: bool) {
        if self.owned.contains_key(&address) {
            let traffic = turn.stats.traffic.entry(address).or_default();
            increment(&mut traffic.requests);
            if answered {
                increment(&mut traffic.responses);
            }
        }
    }

    /// Records that a host uses an address. Returns the node if it is a peer with its own MAC.
    fn note_address_use(&mut self, turn: &mut Turn<'_>, seen: AddressUse) -> Option<(NodeName, AddressUse)> {
        // A second port on the segment hears the first one.
        if self.own_macs.contains(&seen.source) {
            return None;
        }
        self.neighbours.note_heard(turn.now, seen.interface);
        let is_ours = self.owned.contains_key(&seen.address);
        let peer = self.peer_macs.get(&seen.source).cloned();
        if peer.is_none() && !is_ours && !self.duties.contains_key(&seen.address) {
            self.neighbours.note_host(turn.now, seen.interface, seen.address);
        }
        if is_ours && !self.is_of_cluster(seen.mac) {
            self.handle_foreign_use(turn, seen.address, seen.mac);
        }
        // A deputy has the MAC of the owner in the packet and its own in the frame.
        peer.filter(|_| seen.source == seen.mac).map(|node| (node, seen))
    }

    /// A peer whose speaker is not heard has an address that this node probes: most likely it is
    /// the owner, and cannot tell. This node leaves the address to it.
    pub(crate) fn hold_back(&mut self, turn: &mut Turn<'_>, node: &NodeName, seen: &AddressUse) {
        let address = seen.address;
        if !self.conflicts.is_clear(address) {
            self.conflicts.handle_other_use(turn.now, address, seen.mac);
            self.report_peer_conflict(turn, node, seen, PeerConflictResponse::HoldsBack);
            self.arm(turn);
        }
    }

    /// Reports that a peer uses an owned address, at a falling rate.
    pub(crate) fn report_peer_conflict(
        &mut self,
        turn: &mut Turn<'_>,
        node: &NodeName,
        seen: &AddressUse,
        response: PeerConflictResponse,
    ) {
        let Some(announcement) = self.owned.get(&seen.address) else {
            return;
        };
        if self.conflict_reports.admit(turn.now, seen.address) {
            turn.outbox.push_event(Event::PeerConflict {
                address: seen.address,
                services: announcement.owned.services.clone(),
                owner: turn.context.me.clone(),
                rival: node.clone(),
                mac: seen.mac,
                response,
            });
        }
    }

    /// Probes an address at once that this node has left to a peer, because the peer has let go.
    pub(crate) fn probe_again(&mut self, turn: &mut Turn<'_>, address: IpAddr) {
        let holder = self.conflicts.other_user(address);
        if holder.is_some_and(|mac| self.is_of_cluster(mac)) {
            self.conflicts.start_probing(turn.now, address);
            self.arm(turn);
        }
    }

    /// A host probes for an address (RFC 5227, section 2.1.1; RFC 4862, section 5.4.3). Returns the
    /// node if it is a peer.
    fn handle_probe(&mut self, turn: &mut Turn<'_>, address: IpAddr, mac: MacAddr) -> Option<(NodeName, IpAddr)> {
        if self.conflicts.is_on() && !self.is_of_cluster(mac) {
            self.conflicts.handle_foreign_probe(turn.now, address);
            self.arm(turn);
        }
        let peer = self.peer_macs.get(&mac).cloned();
        peer.map(|node| (node, address))
    }

    /// Lets a peer whose speaker is not heard, and that probes for the address too, go first.
    pub(crate) fn defer_to_peer(&mut self, turn: &mut Turn<'_>, address: IpAddr) {
        self.conflicts.handle_foreign_probe(turn.now, address);
        self.arm(turn);
    }

    /// A host outside the cluster has an owned address.
    fn handle_foreign_use(&mut self, turn: &mut Turn<'_>, address: IpAddr, mac: MacAddr) {
        if !self.conflicts.is_on() || self.is_of_cluster(mac) {
            return;
        }
        let Some(announcement) = self.owned.get(&address) else {
            return;
        };
        let services = announcement.owned.services.clone();
        if self.conflicts.handle_other_use(turn.now, address, mac) == Defend::Yes {
            self.announce(turn, address);
        }
        if self.conflict_reports.admit(turn.now, address) {
            let owner = turn.context.me.clone();
            let response = if self.conflicts.is_clear(address) {
                ForeignConflictResponse::Defends
            } else {
                ForeignConflictResponse::HoldsBack
            };
            turn.outbox.push_event(Event::ForeignConflict {
                address,
                services,
                owner,
                mac,
                response,
                knows_peers: !self.peer_macs.is_empty() || turn.context.is_alone(),
            });
        }
        self.arm(turn);
    }
}
