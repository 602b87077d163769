//! Messages between speakers: sealed datagrams over UDP.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use anyhow::{Context as _, Result};
use lodestone_runtime::clock;
use rand::{TryRng, rngs::SysRng};
use tokio::io::{Interest, unix::AsyncFd};

use super::{heartbeats::Heartbeats, keys::Keys, reactor::register};
use crate::wire::{
    envelope::{Key, OpenError, Sealer},
    message::{Datagram, Message, NodeName},
};

/// The longest datagram of UDP.
const LONGEST: usize = 65536;

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// A message that is sealed with our key, and the address that it came from.
    Datagram(IpAddr, Datagram),
    /// A node has answered that nobody listens there.
    Unreachable(NodeName),
    /// Something that is no message.
    Refused,
}

/// The sockets of this speaker, and what goes into every message of its own.
#[derive(Debug)]
pub struct PeerSocket {
    socket: AsyncFd<UdpSocket>,
    heartbeats: Heartbeats,
    port: u16,
    ipv6: bool,
    keys: Keys,
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
    pub fn open(port: u16, key: Key, me: NodeName, boot: u64) -> Result<Self> {
        let mut random = [0; 16];
        SysRng.try_fill_bytes(&mut random).context("no randomness")?;
        // One socket for both families; a node may have no IPv6 at all.
        let (socket, ipv6) = match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)) {
            Ok(socket) => (socket, true),
            Err(_) => (
                UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))
                    .with_context(|| format!("can't bind UDP port {port}"))?,
                false,
            ),
        };
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: register(socket, Interest::READABLE)?,
            heartbeats: Heartbeats::default(),
            port,
            ipv6,
            keys: Keys::new(key),
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
        self.keys.change(clock::now(), key);
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
        let is_heartbeat = message == Message::Heartbeat;
        let datagram = Datagram {
            from: self.me.clone(),
            to: node.clone(),
            boot,
            sequence,
            message,
        };
        let key = self.keys.for_peer(clock::now(), &node);
        let sealed = datagram.write().ok().and_then(|bytes| self.sealer.seal(key, &bytes));
        let Some(sealed) = sealed else { return };
        if is_heartbeat && self.heartbeats.send(&node, SocketAddr::new(to, self.port), &sealed) {
            return;
        }
        let address = match to {
            IpAddr::V4(v4) if self.ipv6 => IpAddr::V6(v4.to_ipv6_mapped()),
            address => address,
        };
        if let Err(error) = self
            .socket
            .get_ref()
            .send_to(&sealed, SocketAddr::new(address, self.port))
        {
            tracing::trace!(%to, %error, "a message could not be sent");
        }
    }

    /// How many messages were refused: under another key, or none at all.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Waits until something is heard. This can be given up at any time without losing anything.
    pub async fn receive(&mut self) -> Heard {
        let buffer = &mut self.buffer;
        // Messages first: the rest are hints.
        let received = tokio::select! {
            biased;
            received = self.socket.async_io(Interest::READABLE, |socket| socket.recv_from(buffer)) => received,
            node = self.heartbeats.refused() => return Heard::Unreachable(node),
        };
        // An error can't be about a message of this socket, which is not connected: the kernel tells it of none.
        let Ok((length, from)) = received else {
            return Heard::Refused;
        };
        self.read(length, from).unwrap_or_else(|error| {
            self.refuse(from, error);
            Heard::Refused
        })
    }

    fn read(&mut self, length: usize, from: SocketAddr) -> Result<Heard, OpenError> {
        let bytes = self.buffer.get(..length).unwrap_or_default();
        let now = clock::now();
        let (message, key) = self.keys.open(now, bytes)?;
        let datagram = Datagram::read(&message).map_err(|_| OpenError::Malformed)?;
        self.keys.used_by(now, &datagram.from, key);
        Ok(Heard::Datagram(from.ip().to_canonical(), datagram))
    }

    /// Tells of the first message that is refused, and of each tenfold: never one line for each.
    fn refuse(&mut self, from: SocketAddr, error: OpenError) {
        self.refused = self.refused.saturating_add(1);
        if self.refused == 10u64.pow(self.refused.ilog10()) {
            tracing::warn!(from = %from.ip(), %error, refused = self.refused, "a message was refused");
        }
    }
}

/// Whether an error of a connected socket says that nobody listens at its other end (ICMP: port unreachable).
pub(super) fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}
