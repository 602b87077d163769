//! ARP requests that can be matched with their answers.

use std::net::Ipv4Addr;

use anyhow::Result;
use lodestone_bench::packet_sockets::open_sockets;
use lodestone_speaker::{
    core::Kind,
    net::frames::{FRAME, FrameSockets},
    wire::arp,
};
use pnet_base::MacAddr;

/// First bytes of the sender MACs. The number of the request follows.
const MAC_PREFIX: [u8; 2] = [2, 0xaa];

/// Sends ARP requests, each from a MAC of its own, so that every answer identifies its request.
pub(super) struct ArpClient {
    sockets: FrameSockets,
    interface: u32,
    mac: MacAddr,
    sender: Ipv4Addr,
    target: Ipv4Addr,
    sent: u32,
    buffer: [u8; FRAME],
}

impl ArpClient {
    /// Call this inside the client's network namespace.
    ///
    /// Requests with an unspecified `sender` teach no neighbour anything. They are also ARP probes
    /// (RFC 5227), so they would disturb the conflict detection of a new address: there, use an
    /// address that no host has.
    pub(super) fn open(mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> Result<Self> {
        let (sockets, interface) = open_sockets(mac)?;
        Ok(Self {
            sockets,
            interface,
            mac,
            sender,
            target,
            sent: 0,
            buffer: FrameSockets::buffer(),
        })
    }

    /// Sends the next request.
    pub(super) fn send(&mut self) -> Result<()> {
        self.sent += 1;
        let mut frame = arp::request(self.mac, self.sender, self.target);
        frame[22..24].copy_from_slice(&MAC_PREFIX);
        frame[24..28].copy_from_slice(&self.sent.to_be_bytes());
        self.sockets.send(self.interface, &frame)?;
        Ok(())
    }

    /// Waits for an answer. Returns the number of its request, from 1, and the MAC it announces.
    pub(super) async fn receive(&mut self) -> (u32, MacAddr) {
        loop {
            let (_, kind, length) = self.sockets.receive(&mut self.buffer).await;
            let frame = self.buffer.get(..length).unwrap_or_default();
            let packet = (kind == Kind::Arp).then(|| arp::Packet::read(frame)).flatten();
            if let Some(packet) = packet.filter(|packet| packet.reply && packet.sender == self.target)
                && let [first, second, a, b, c, d] = <[u8; 6]>::from(packet.destination)
                && [first, second] == MAC_PREFIX
            {
                return (u32::from_be_bytes([a, b, c, d]), packet.sender_mac);
            }
        }
    }
}
