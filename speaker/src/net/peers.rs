//! Messages between speakers: sealed datagrams over UDP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result};
use rand::{TryRng, rngs::SysRng};
use tokio::net::UdpSocket;

use crate::wire::{
    envelope::{Key, OpenError, Sealer},
    message::{Datagram, Message, NodeName},
};

/// The longest datagram of UDP.
const LONGEST: usize = 65536;

/// The socket of this speaker, and what goes into every message of its own.
#[derive(Debug)]
pub struct PeerSocket {
    socket: UdpSocket,
    port: u16,
    ipv6: bool,
    key: Key,
    /// The one before: others may not have heard of the new one yet.
    previous: Option<Key>,
    buffer: Vec<u8>,
    sealer: Sealer,
    me: NodeName,
    boot: u64,
    sequence: u64,
    refused: u64,
}

impl PeerSocket {
    /// Opens the socket. `boot` grows with each start of this speaker.
    ///
    /// # Errors
    /// When another process has the port.
    pub async fn open(port: u16, key: Key, me: NodeName, boot: u64) -> Result<Self> {
        let mut random = [0; 16];
        SysRng.try_fill_bytes(&mut random).context("no randomness")?;
        // One socket for both families; a node may have no IPv6 at all.
        let (socket, ipv6) = match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Ok(socket) => (socket, true),
            Err(_) => (
                UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))
                    .await
                    .with_context(|| format!("can't bind UDP port {port}"))?,
                false,
            ),
        };
        Ok(Self {
            socket,
            port,
            ipv6,
            key,
            previous: None,
            buffer: vec![0; LONGEST],
            sealer: Sealer::new(random),
            me,
            boot,
            sequence: 0,
            refused: 0,
        })
    }

    /// Takes another key.
    pub fn set_key(&mut self, key: Key) {
        self.previous = Some(std::mem::replace(&mut self.key, key));
    }

    /// Says from now on that it was started later than `boot`: the clock has gone back since an earlier start.
    pub fn raise_boot(&mut self, boot: u64) {
        if boot > self.boot {
            tracing::info!("the clock of this node has gone back; the other speakers have been told");
            self.boot = boot.saturating_add(1);
        }
    }

    /// Sends a message. What can't be sent now is lost, as it might be on the network: everything is said again.
    pub fn send(&mut self, node: NodeName, to: IpAddr, message: Message) {
        self.sequence += 1;
        let (boot, sequence) = (self.boot, self.sequence);
        let datagram = Datagram {
            from: self.me.clone(),
            to: node,
            boot,
            sequence,
            message,
        };
        let sealed = datagram
            .write()
            .ok()
            .and_then(|bytes| self.sealer.seal(&self.key, &bytes));
        let address = match to {
            IpAddr::V4(v4) if self.ipv6 => IpAddr::V6(v4.to_ipv6_mapped()),
            address => address,
        };
        if let Some(sealed) = sealed
            && let Err(error) = self.socket.try_send_to(&sealed, SocketAddr::new(address, self.port))
        {
            tracing::trace!(%to, %error, "a message could not be sent");
        }
    }

    /// Waits for a message that is sealed with our key, and gives the address that it came from. This can be given up at any time without
    /// losing one.
    pub async fn receive(&mut self) -> (IpAddr, Datagram) {
        loop {
            // An error is about something that was sent: a node without a speaker answers that nobody listens.
            let Ok((length, from)) = self.socket.recv_from(&mut self.buffer).await else {
                continue;
            };
            let bytes = self.buffer.get(..length).unwrap_or_default();
            let opened = self
                .key
                .open(bytes)
                .or_else(|error| self.previous.as_ref().ok_or(error)?.open(bytes));
            match opened.map(|message| Datagram::read(&message)) {
                Ok(Ok(datagram)) => return (from.ip().to_canonical(), datagram),
                Ok(Err(_)) => self.refuse(from, OpenError::Malformed),
                Err(error) => self.refuse(from, error),
            }
        }
    }

    /// Tells of the first message that is refused, and of each tenfold: never one line for each.
    fn refuse(&mut self, from: SocketAddr, error: OpenError) {
        self.refused = self.refused.saturating_add(1);
        if self.refused == 10u64.pow(self.refused.ilog10()) {
            tracing::warn!(from = %from.ip(), %error, refused = self.refused, "a message was refused");
        }
    }
}
