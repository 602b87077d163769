//! Messages between speakers: sealed datagrams over UDP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use anyhow::{Context as _, Result};
use lodestone_runtime::clock;
use lodestone_speaker_core::{
    BootId, NodeName,
    wire::{
        envelope::{Key, OpenError, Sealer},
        key_ring::KeyRing,
        message::{Datagram, Message},
    },
};
use rand::{TryRng, rngs::SysRng};
use tokio::io::{Interest, unix::AsyncFd};

use super::{heartbeat_sockets::HeartbeatSockets, reactor::register};

/// The longest UDP datagram in bytes.
const LONGEST: usize = 65536;

/// What one read from the sockets returns.
#[derive(Debug)]
pub(crate) enum Received {
    /// A message sealed with a known key, and the address of its sender.
    Datagram(IpAddr, Datagram),
    /// A node reports that its port is closed. This can be forged.
    PortUnreachable(NodeName),
    /// A datagram that is not a message, or is sealed with another key.
    Refused,
}

/// The sockets of this speaker, and what goes into every message that it sends.
#[derive(Debug)]
pub(crate) struct PeerSocket {
    socket: AsyncFd<UdpSocket>,
    heartbeats: HeartbeatSockets,
    port: u16,
    /// Whether `socket` is an IPv6 socket, which carries both families.
    ipv6: bool,
    keys: KeyRing,
    buffer: Vec<u8>,
    sealer: Sealer,
    me: NodeName,
    boot: BootId,
    sequence: u64,
    refused: u64,
}

impl PeerSocket {
    /// Opens the socket. `boot` must grow with each start of the speaker.
    ///
    /// # Errors
    /// When another process has the port.
    pub(crate) fn open(port: u16, key: Key, me: NodeName, boot: BootId) -> Result<Self> {
        let mut random = [0; 16];
        SysRng
            .try_fill_bytes(&mut random)
            .context("the kernel returns no random bytes")?;
        let (socket, ipv6) = bind(port)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: register(socket, Interest::READABLE)?,
            heartbeats: HeartbeatSockets::default(),
            port,
            ipv6,
            keys: KeyRing::new(key),
            buffer: vec![0; LONGEST],
            sealer: Sealer::new(random),
            me,
            boot,
            sequence: 0,
            refused: 0,
        })
    }

    /// Replaces the key.
    pub(crate) fn set_key(&mut self, key: Key) {
        self.keys.rotate(clock::now(), key);
    }

    /// Raises the boot id above `boot`, which a peer has seen from an earlier start of this
    /// speaker.
    pub(crate) fn raise_boot(&mut self, boot: BootId) {
        if boot > self.boot {
            tracing::info!("clock moved backwards since the last start; using a higher boot id");
            self.boot = boot.next();
        }
    }

    /// Sends a message. A message that cannot be sent now is lost, as it might be on the network.
    /// Anti-entropy repeats it.
    pub(crate) fn send(&mut self, node: NodeName, to: IpAddr, message: Message) {
        if let Some(sealed) = self.seal(node, message) {
            self.send_sealed(to, &sealed);
        }
    }

    /// Sends a heartbeat on a connected socket, so that the kernel reports whether the port is
    /// closed. If there is no such socket, the heartbeat goes out like any message.
    pub(crate) fn send_heartbeat(&mut self, node: NodeName, to: IpAddr) {
        let Some(sealed) = self.seal(node.clone(), Message::Heartbeat) else {
            return;
        };
        if !self.heartbeats.send(&node, SocketAddr::new(to, self.port), &sealed) {
            self.send_sealed(to, &sealed);
        }
    }

    /// How many datagrams were refused: sealed with another key, or not a message.
    #[must_use]
    pub(crate) const fn refused_count(&self) -> u64 {
        self.refused
    }

    /// Waits until something arrives. Cancel safe: it takes a datagram or an error only when it
    /// returns.
    pub(crate) async fn receive(&mut self) -> Received {
        let buffer = &mut self.buffer;
        // Messages first: closed ports are only hints.
        let received = tokio::select! {
            biased;
            received = self.socket.async_io(Interest::READABLE, |socket| socket.recv_from(buffer)) => received,
            node = self.heartbeats.next_port_unreachable() => return Received::PortUnreachable(node),
        };
        // The kernel reports no errors of sent messages here, because the socket is not connected.
        let Ok((length, from)) = received else {
            return Received::Refused;
        };
        self.read(length, from).unwrap_or_else(|error| {
            self.refuse(from, error);
            Received::Refused
        })
    }

    fn seal(&mut self, node: NodeName, message: Message) -> Option<Vec<u8>> {
        self.sequence += 1;
        let key = self.keys.for_peer(clock::now(), &node);
        let datagram = Datagram {
            from: self.me.clone(),
            to: node,
            boot: self.boot,
            sequence: self.sequence,
            message,
        };
        let bytes = datagram.encode().inspect_err(log_unsent).ok()?;
        self.sealer.seal(key, &bytes).inspect_err(log_unsent).ok()
    }

    fn send_sealed(&self, to: IpAddr, sealed: &[u8]) {
        let address = match to {
            IpAddr::V4(v4) if self.ipv6 => IpAddr::V6(v4.to_ipv6_mapped()),
            address => address,
        };
        let socket = self.socket.get_ref();
        if let Err(error) = socket.send_to(sealed, SocketAddr::new(address, self.port)) {
            tracing::trace!(%to, %error, "cannot send a message");
        }
    }

    fn read(&mut self, length: usize, from: SocketAddr) -> Result<Received, OpenError> {
        let bytes = self.buffer.get(..length).unwrap_or_default();
        let now = clock::now();
        let (message, key) = self.keys.open(now, bytes)?;
        let datagram = Datagram::decode(&message).map_err(|_| OpenError::Malformed)?;
        self.keys.note_used_by(now, &datagram.from, key);
        Ok(Received::Datagram(from.ip().to_canonical(), datagram))
    }

    /// Counts a refused datagram. Logs the first, the tenth, the hundredth and so on, because
    /// anybody can send any number of them.
    fn refuse(&mut self, from: SocketAddr, error: OpenError) {
        self.refused = self.refused.saturating_add(1);
        if self.refused == 10u64.pow(self.refused.ilog10()) {
            tracing::warn!(from = %from.ip(), %error, refused = self.refused, "refused a message");
        }
    }
}

/// Binds one socket for both families, or one for IPv4 on a node without IPv6. Returns the socket
/// and whether it is an IPv6 socket.
fn bind(port: u16) -> Result<(UdpSocket, bool)> {
    if let Ok(socket) = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)) {
        return Ok((socket, true));
    }
    let socket =
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).with_context(|| format!("cannot bind UDP port {port}"))?;
    Ok((socket, false))
}

/// Logs a message that cannot be written. The first 2^64 messages of a process can.
fn log_unsent(error: &impl std::error::Error) {
    tracing::warn!(%error, "cannot send a message");
}
