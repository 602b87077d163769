//! ARP requests that can be matched with their answers.

use std::{io, net::Ipv4Addr};

use anyhow::Result;
use lodestone_bench::packet_sockets::open_sockets;
use lodestone_speaker::net::frame_sockets::{FrameSockets, MAX_FRAME_LEN};
use lodestone_speaker_core::{
    InterfaceIndex,
    wire::arp::{self, ArpPacket},
};
use pnet_base::MacAddr;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// The EtherType of ARP.
const ARP: u16 = 0x0806;

/// First bytes of the sender MACs. The number of the request follows.
const MAC_PREFIX: [u8; 2] = [2, 0xaa];

/// Sends ARP requests, each from a MAC of its own, so that every answer identifies its request.
pub(super) struct ArpClient {
    requests: FrameSockets,
    /// Receives every ARP frame. The answers go to the made-up MACs, and the speaker's sockets
    /// reject frames for another host.
    answers: UdpSocket,
    interface: InterfaceIndex,
    mac: MacAddr,
    sender: Ipv4Addr,
    target: Ipv4Addr,
    sent: u32,
}

impl ArpClient {
    /// Call this inside the client's network namespace.
    ///
    /// Requests with an unspecified `sender` teach no neighbour anything. They are also ARP probes
    /// (RFC 5227), so they would disturb the conflict detection of a new address. There, use an
    /// address that no host has.
    pub(super) fn open(mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> Result<Self> {
        let (requests, interface) = open_sockets(mac)?;
        let answers = Socket::new(
            Domain::PACKET,
            Type::RAW.nonblocking().cloexec(),
            Some(Protocol::from(i32::from(ARP.to_be()))),
        )?;
        Ok(Self {
            requests,
            // Only `recv` is used, which is the same for every kind of socket.
            answers: UdpSocket::from_std(answers.into())?,
            interface,
            mac,
            sender,
            target,
            sent: 0,
        })
    }

    /// Sends the next request.
    pub(super) fn send(&mut self) -> Result<()> {
        self.sent += 1;
        let mut frame = arp::request(self.mac, self.sender, self.target);
        frame[22..24].copy_from_slice(&MAC_PREFIX);
        frame[24..28].copy_from_slice(&self.sent.to_be_bytes());
        self.requests.send(self.interface, &frame)?;
        Ok(())
    }

    /// Waits for an answer. Returns the number of its request, from 1, and the MAC it announces.
    ///
    /// # Errors
    /// When the socket fails.
    pub(super) async fn receive(&mut self) -> io::Result<(u32, MacAddr)> {
        loop {
            let mut buffer = [0; MAX_FRAME_LEN];
            let length = self.answers.recv(&mut buffer).await?;
            let packet = ArpPacket::parse(buffer.get(..length).unwrap_or_default());
            if let Some(packet) = packet.filter(|packet| packet.reply && packet.sender == self.target)
                && let [first, second, a, b, c, d] = <[u8; 6]>::from(packet.destination)
                && [first, second] == MAC_PREFIX
            {
                return Ok((u32::from_be_bytes([a, b, c, d]), packet.sender_mac));
            }
        }
    }
}
