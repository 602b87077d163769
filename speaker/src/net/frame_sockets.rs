//! Packet sockets for ARP and Neighbor Discovery: two for each interface on which the node
//! announces.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    io::{self, Read},
    task::{Context, Poll, ready},
};

use lodestone_speaker_core::{FrameKind, Interface, InterfaceIndex};
use socket2::{SockFilter, Socket};
use tokio::io::unix::AsyncFd;

use super::packet_socket;

/// The length of the receive buffer in bytes. A longer frame is cut, which loses nothing: no field
/// in use lies beyond, and a solicitation with its options is shorter.
pub const FRAME: usize = 256;

/// Accepts a frame up to the length of the buffer.
const ACCEPT: u32 = 256;

/// Rejects a frame.
const REJECT: u32 = 0;

const fn ethertype(kind: FrameKind) -> u16 {
    match kind {
        FrameKind::Arp => 0x0806,
        FrameKind::Ndp => 0x86dd,
    }
}

fn filter(kind: FrameKind) -> Vec<SockFilter> {
    match kind {
        FrameKind::Arp => accept_if(&[]),
        // The next header is ICMPv6, the hop limit is 255, and the type is a solicitation (135) or
        // an advertisement (136).
        FrameKind::Ndp => accept_if(&[(20, &[58]), (21, &[255]), (54, &[135, 136])]),
    }
}

/// The sockets of all interfaces, by interface index.
#[derive(Debug, Default)]
pub struct FrameSockets {
    sockets: BTreeMap<(InterfaceIndex, FrameKind), AsyncFd<Socket>>,
    /// The socket that is polled first, so that a flood on one interface does not starve the
    /// others.
    next: Option<(InterfaceIndex, FrameKind)>,
}

impl FrameSockets {
    /// Opens the sockets of new interfaces and closes those of interfaces that are gone.
    ///
    /// Returns the indices of interfaces whose sockets could not be opened. The caller may try
    /// again.
    pub fn follow(&mut self, interfaces: &[Interface]) -> Vec<InterfaceIndex> {
        let wanted: Vec<&Interface> = interfaces.iter().filter(|interface| interface.can_announce()).collect();
        self.sockets
            .retain(|(index, _), _| wanted.iter().any(|interface| interface.index == *index));
        let mut failed = Vec::new();
        for interface in wanted {
            for kind in [FrameKind::Arp, FrameKind::Ndp] {
                let key = (interface.index, kind);
                if self.sockets.contains_key(&key) {
                    continue;
                }
                let (name, index) = (&interface.name, interface.index);
                match packet_socket::open(index, ethertype(kind), &filter(kind)) {
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

    /// The ARP socket of an interface, for callers that read it without a reactor.
    #[must_use]
    pub fn arp(&self, interface: InterfaceIndex) -> Option<&Socket> {
        self.sockets.get(&(interface, FrameKind::Arp)).map(AsyncFd::get_ref)
    }

    /// Waits for a frame. Returns the index of the interface, the kind of the frame, and how many
    /// bytes of `buffer` it fills. Cancel safe: it reads only when it returns.
    pub async fn receive(&mut self, buffer: &mut [u8; FRAME]) -> (InterfaceIndex, FrameKind, usize) {
        poll_fn(|context| self.poll(context, buffer)).await
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8; FRAME],
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
    pub const fn buffer() -> [u8; FRAME] {
        [0; FRAME]
    }
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

/// A classic BPF program that accepts a frame if each offset holds one of its bytes. No other frame
/// wakes the speaker.
fn accept_if(values: &[(u32, &[u8])]) -> Vec<SockFilter> {
    let mut program = Vec::new();
    for (offset, bytes) in values {
        // ldb: load the byte at this offset.
        program.push(SockFilter::new(0x30, 0, 0, *offset));
        for (remaining, byte) in (0u8..).zip(bytes.iter().rev()).collect::<Vec<_>>().into_iter().rev() {
            // jeq: if equal, jump over the remaining comparisons and the reject behind them.
            program.push(SockFilter::new(0x15, remaining + 1, 0, u32::from(*byte)));
        }
        // ret
        program.push(SockFilter::new(0x06, 0, 0, REJECT));
    }
    // ret
    program.push(SockFilter::new(0x06, 0, 0, ACCEPT));
    program
}
