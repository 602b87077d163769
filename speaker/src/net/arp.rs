//! The sockets that hear and answer ARP: one for each interface that addresses are announced on.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    io::{self, Read},
    task::{Context, Poll, ready},
};

use socket2::{SockFilter, Socket};
use tokio::io::unix::AsyncFd;

use super::packet;
use crate::core::Interface;

const ETHERTYPE_ARP: u16 = 0x0806;

/// Longer frames are cut: nothing that is read lies behind this.
const FRAME: usize = 64;

/// All sockets, by the index of the interface.
#[derive(Debug, Default)]
pub struct ArpSockets {
    sockets: BTreeMap<u32, AsyncFd<Socket>>,
    /// Where to go on, so that a flood on one interface does not silence the others.
    next: u32,
}

impl ArpSockets {
    /// Opens sockets for interfaces that are new, and closes those of interfaces that are gone. Gives back the interfaces on which
    /// addresses can't be announced although they should be: what failed may be tried again.
    pub fn follow(&mut self, interfaces: &[Interface]) -> Vec<u32> {
        let wanted: Vec<&Interface> = interfaces.iter().filter(|interface| interface.can_announce()).collect();
        self.sockets
            .retain(|index, _| wanted.iter().any(|interface| interface.index == *index));
        let mut failed = Vec::new();
        for interface in wanted {
            if self.sockets.contains_key(&interface.index) {
                continue;
            }
            match packet::open(interface.index, ETHERTYPE_ARP, &requests_only()) {
                Ok(socket) => {
                    tracing::info!(
                        interface = interface.name,
                        index = interface.index,
                        "answering ARP on this interface"
                    );
                    self.sockets.insert(interface.index, socket);
                }
                Err(error) => {
                    tracing::error!(interface = interface.name, %error, "can't answer ARP on this interface; trying again");
                    failed.push(interface.index);
                }
            }
        }
        failed
    }

    /// Sends a frame. A full queue of the interface drops it, as the network might.
    ///
    /// # Errors
    /// When the interface is gone or down.
    pub fn send(&self, interface: u32, frame: &[u8]) -> io::Result<()> {
        let Some(socket) = self.sockets.get(&interface) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        match socket.get_ref().send(frame) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits for a frame, and gives the index of the interface and how much of `buffer` it fills.
    pub async fn receive(&mut self, buffer: &mut [u8; FRAME]) -> (u32, usize) {
        poll_fn(|context| self.poll(context, buffer)).await
    }

    fn poll(&mut self, context: &mut Context<'_>, buffer: &mut [u8; FRAME]) -> Poll<(u32, usize)> {
        let (before, after): (Vec<u32>, Vec<u32>) = self.sockets.keys().partition(|index| **index < self.next);
        for index in after.into_iter().chain(before) {
            if let Some(socket) = self.sockets.get(&index)
                && let Poll::Ready(length) = poll_socket(socket, context, buffer)
            {
                self.next = index.wrapping_add(1);
                return Poll::Ready((index, length));
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

/// Classic BPF: accept a frame if its operation (two bytes at offset 20) is a request. The speaker is not woken for anything else.
const fn requests_only() -> [SockFilter; 4] {
    [
        SockFilter::new(0x28, 0, 0, 20), // ldh [20]
        SockFilter::new(0x15, 0, 1, 1),  // jeq #1, next, one further
        SockFilter::new(0x06, 0, 0, 64), // ret 64: accept so many bytes
        SockFilter::new(0x06, 0, 0, 0),  // ret 0: drop
    ]
}
