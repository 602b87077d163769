//! Packet sockets for ARP and Neighbor Discovery: two for each interface on which the node
//! announces.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    io::{self, Read},
    task::{Context, Poll, ready},
};

use lodestone_speaker_core::{FrameKind, Interface, InterfaceIndex};
use socket2::Socket;
use tokio::io::unix::AsyncFd;

use super::{frame_filter, packet_socket};

/// The length of the receive buffer in bytes. A longer frame is cut, which loses nothing: no field
/// in use lies beyond, and a solicitation with its options is shorter.
pub const MAX_FRAME_LEN: usize = 256;

const fn ethertype(kind: FrameKind) -> u16 {
    match kind {
        FrameKind::Arp => 0x0806,
        FrameKind::Ndp => 0x86dd,
    }
}

/// The sockets of all interfaces, by interface index.
#[derive(Debug, Default)]
pub struct FrameSockets {
    sockets: BTreeMap<(InterfaceIndex, FrameKind), AsyncFd<Socket>>,
    /// The socket that is polled first, so that a flood on one interface does not starve the
    /// others.
    next: Option<(InterfaceIndex, FrameKind)>,
    /// How many frames the kernel dropped because a socket's buffer was full, as far as it was
    /// asked.
    dropped: u64,
}

impl FrameSockets {
    /// Opens the sockets of new interfaces and closes those of interfaces that are gone.
    ///
    /// Returns the indices of interfaces whose sockets could not be opened. The caller may try
    /// again.
    pub fn follow(&mut self, interfaces: &[Interface]) -> Vec<InterfaceIndex> {
        let wanted: Vec<&Interface> = interfaces.iter().filter(|interface| interface.can_announce()).collect();
        let is_gone = |(index, _): &(InterfaceIndex, FrameKind)| !wanted.iter().any(|one| one.index == *index);
        for (_, socket) in self.sockets.extract_if(.., |key, _| is_gone(key)) {
            self.dropped += take_dropped(&socket);
        }
        let mut failed = Vec::new();
        for interface in wanted {
            for kind in [FrameKind::Arp, FrameKind::Ndp] {
                let key = (interface.index, kind);
                if self.sockets.contains_key(&key) {
                    continue;
                }
                let (name, index) = (&interface.name, interface.index);
                match packet_socket::open(index, ethertype(kind), &frame_filter::program(kind)) {
                    Ok(socket) => {
                        tracing::info!(interface = name, %index, ?kind, "opened a packet socket");
                        self.sockets.insert(key, socket);
                    }
                    Err(error) => {
                        tracing::error!(interface = name, ?kind, %error, "cannot open a packet socket; retrying");
                        failed.push(index);
                    }
                }
            }
        }
        failed.dedup();
        failed
    }

    /// Sends a frame. If the queue of the interface is full, the frame is lost, as it might be on
    /// the network.
    ///
    /// # Errors
    /// When the interface is gone or down.
    pub fn send(&self, interface: InterfaceIndex, frame: &[u8]) -> io::Result<()> {
        // The kernel takes the EtherType of an outgoing frame from the socket, not from the frame.
        let kind = if frame.get(12..14) == Some(&[0x86, 0xdd]) {
            FrameKind::Ndp
        } else {
            FrameKind::Arp
        };
        let Some(socket) = self.sockets.get(&(interface, kind)) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        match socket.get_ref().send(frame) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads the kernel's counters, and returns how many frames it has dropped so far because the
    /// buffer of a socket was full. Frames that the filter refuses do not count.
    pub fn count_dropped(&mut self) -> u64 {
        self.dropped += self.sockets.values().map(take_dropped).sum::<u64>();
        self.dropped
    }

    /// The ARP socket of an interface, for callers that read it without a reactor.
    #[must_use]
    pub fn arp(&self, interface: InterfaceIndex) -> Option<&Socket> {
        self.sockets.get(&(interface, FrameKind::Arp)).map(AsyncFd::get_ref)
    }

    /// Waits for a frame. Returns the index of the interface, the kind of the frame, and how many
    /// bytes of `buffer` it fills. Cancel safe: it reads only when it returns.
    pub async fn receive(&mut self, buffer: &mut [u8; MAX_FRAME_LEN]) -> (InterfaceIndex, FrameKind, usize) {
        poll_fn(|context| self.poll(context, buffer)).await
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8; MAX_FRAME_LEN],
    ) -> Poll<(InterfaceIndex, FrameKind, usize)> {
        let next = self.next.unwrap_or((InterfaceIndex(0), FrameKind::Arp));
        let in_turn = self.sockets.range(next..).chain(self.sockets.range(..next));
        for ((index, kind), socket) in in_turn {
            if let Poll::Ready(length) = poll_socket(socket, context, buffer) {
                self.next = Some(match kind {
                    FrameKind::Arp => (*index, FrameKind::Ndp),
                    FrameKind::Ndp => (InterfaceIndex(index.0.wrapping_add(1)), FrameKind::Arp),
                });
                return Poll::Ready((*index, *kind, length));
            }
        }
        Poll::Pending
    }

    /// Returns a buffer for [`Self::receive`].
    #[must_use]
    pub const fn buffer() -> [u8; MAX_FRAME_LEN] {
        [0; MAX_FRAME_LEN]
    }
}

/// The frames that the kernel has dropped since the last call. A socket that cannot say adds none:
/// the number is for humans only.
fn take_dropped(socket: &AsyncFd<Socket>) -> u64 {
    packet_socket::take_dropped(socket.get_ref()).map_or(0, u64::from)
}

fn poll_socket(socket: &AsyncFd<Socket>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<usize> {
    loop {
        // This fails only without a reactor, which is when the process ends.
        let Ok(mut ready) = ready!(socket.poll_read_ready(context)) else {
            return Poll::Pending;
        };
        let read = ready.try_io(|socket| {
            let mut socket: &Socket = socket.get_ref();
            socket.read(buffer)
        });
        // The outer error means that the socket was not ready after all. The kernel reports an
        // inner error, such as that the interface went down, once. Nothing was read then.
        if let Ok(read) = read {
            return Poll::Ready(read.unwrap_or(0));
        }
    }
}
