//! The sockets that hear ARP and Neighbor Discovery and send whole frames: two for each interface that addresses are announced
//! on.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    io::{self, Read},
    task::{Context, Poll, ready},
};

use socket2::{SockFilter, Socket};
use tokio::io::unix::AsyncFd;

use super::packet_socket as packet;
use lodestone_speaker_core::{FrameKind, Interface};

/// Longer frames are cut: nothing that is read lies behind this. A solicitation with its options is shorter.
pub const FRAME: usize = 256;

const fn ethertype(kind: FrameKind) -> u16 {
    match kind {
        FrameKind::Arp => 0x0806,
        FrameKind::Ndp => 0x86dd,
    }
}

fn filter(kind: FrameKind) -> Vec<SockFilter> {
    match kind {
        FrameKind::Arp => only(&[]),
        // ICMPv6 right behind the IPv6 header, a hop limit of 255, a solicitation or an advertisement: types 135 and 136.
        FrameKind::Ndp => only(&[(20, &[58]), (21, &[255]), (54, &[135, 136])]),
    }
}

/// All sockets, by the index of the interface.
#[derive(Debug, Default)]
pub struct FrameSockets {
    sockets: BTreeMap<(u32, FrameKind), AsyncFd<Socket>>,
    /// Where to go on, so that a flood on one interface does not silence the others.
    next: Option<(u32, FrameKind)>,
}

impl FrameSockets {
    /// Opens sockets for interfaces that are new, and closes those of interfaces that are gone. Gives back the interfaces on which
    /// addresses can't be announced although they should be: what failed may be tried again.
    pub fn follow(&mut self, interfaces: &[Interface]) -> Vec<u32> {
        let wanted: Vec<&Interface> = interfaces.iter().filter(|interface| interface.can_announce()).collect();
        self.sockets
            .retain(|(index, _), _| wanted.iter().any(|interface| interface.index == *index));
        let mut failed = Vec::new();
        for interface in wanted {
            for kind in [FrameKind::Arp, FrameKind::Ndp] {
                let place = (interface.index, kind);
                if self.sockets.contains_key(&place) {
                    continue;
                }
                let (name, index) = (&interface.name, interface.index);
                match packet::open(index, ethertype(kind), &filter(kind)) {
                    Ok(socket) => {
                        tracing::info!(interface = name, index, ?kind, "answering on this interface");
                        self.sockets.insert(place, socket);
                    }
                    Err(error) => {
                        tracing::error!(interface = name, ?kind, %error, "can't answer on this interface; trying again");
                        failed.push(index);
                    }
                }
            }
        }
        failed.dedup();
        failed
    }

    /// Sends a frame. A full queue of the interface drops it, as the network might.
    ///
    /// # Errors
    /// When the interface is gone or down.
    pub fn send(&self, interface: u32, frame: &[u8]) -> io::Result<()> {
        // The kernel takes the EtherType of what is sent for that of the socket.
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

    /// The socket that hears ARP on an interface: for whoever reads it without a reactor.
    #[must_use]
    pub fn arp(&self, interface: u32) -> Option<&Socket> {
        self.sockets.get(&(interface, FrameKind::Arp)).map(AsyncFd::get_ref)
    }

    /// Waits for a frame, and gives the index of the interface, what it is, and how much of `buffer` it fills.
    pub async fn receive(&mut self, buffer: &mut [u8; FRAME]) -> (u32, FrameKind, usize) {
        poll_fn(|context| self.poll(context, buffer)).await
    }

    fn poll(&mut self, context: &mut Context<'_>, buffer: &mut [u8; FRAME]) -> Poll<(u32, FrameKind, usize)> {
        let next = self.next.unwrap_or((0, FrameKind::Arp));
        let turn = self.sockets.range(next..).chain(self.sockets.range(..next));
        for ((index, kind), socket) in turn {
            if let Poll::Ready(length) = poll_socket(socket, context, buffer) {
                self.next = Some(match kind {
                    FrameKind::Arp => (*index, FrameKind::Ndp),
                    FrameKind::Ndp => (index.wrapping_add(1), FrameKind::Arp),
                });
                return Poll::Ready((*index, *kind, length));
            }
        }
        Poll::Pending
    }

    /// A buffer for [`Self::receive`].
    #[must_use]
    pub const fn buffer() -> [u8; FRAME] {
        [0; FRAME]
    }
}

fn poll_socket(socket: &AsyncFd<Socket>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<usize> {
    loop {
        // The reactor is gone only when the process ends.
        let Ok(mut ready) = ready!(socket.poll_read_ready(context)) else {
            return Poll::Pending;
        };
        let read = ready.try_io(|socket| {
            let mut socket: &Socket = socket.get_ref();
            socket.read(buffer)
        });
        // An error, such as that the interface went down, is told once; nothing was read then.
        if let Ok(read) = read {
            return Poll::Ready(read.unwrap_or(0));
        }
    }
}

/// Classic BPF: a program that accepts a frame if at each offset one of these bytes stands. The speaker is not woken for anything else.
fn only(values: &[(u32, &[u8])]) -> Vec<SockFilter> {
    let mut program = Vec::new();
    for (offset, bytes) in values {
        // ldb: a byte at an offset of the frame.
        program.push(SockFilter::new(0x30, 0, 0, *offset));
        for (left, byte) in (0u8..).zip(bytes.iter().rev()).collect::<Vec<_>>().into_iter().rev() {
            // jeq: over those that are left and the `ret 0` behind them, or on to the next.
            program.push(SockFilter::new(0x15, left + 1, 0, u32::from(*byte)));
        }
        program.push(SockFilter::new(0x06, 0, 0, 0));
    }
    program.push(SockFilter::new(0x06, 0, 0, 256));
    program
}
