//! Heartbeats go out by sockets of their own, one for each that they go to, connected: so the kernel tells when the other node answers that
//! nobody listens there. That is a hint, which can be forged, and costs nothing when it is lost or wrong.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use futures::future::select_all;
use tokio::io::{Interest, unix::AsyncFd};

use super::reactor::register;
use lodestone_speaker_core::wire::message::NodeName;

/// Far more than a node has watchers; the sockets of earlier ones go when there are more.
const MOST: usize = 64;

/// All of them, by the address that they are connected to.
#[derive(Debug, Default)]
pub(super) struct Heartbeats {
    sockets: BTreeMap<IpAddr, (NodeName, AsyncFd<UdpSocket>)>,
    /// Those who were found out to refuse while something was sent.
    refused: Vec<NodeName>,
}

impl Heartbeats {
    /// Sends a heartbeat; gives back whether that is done.
    pub(super) fn send(&mut self, node: &NodeName, to: SocketAddr, bytes: &[u8]) -> bool {
        if self.sockets.len() > MOST {
            self.sockets.clear();
        }
        let (named, socket) = match self.sockets.entry(to.ip()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let Ok(socket) = connect(to) else { return false };
                place.insert((node.clone(), socket))
            }
        };
        named.clone_from(node);
        let socket = socket.get_ref();
        match socket.send(bytes) {
            Ok(_) => true,
            Err(error) if is_refusal(&error) => {
                // It is about an earlier one, and this one was not sent.
                // A flood of messages holds up those who ask for these.
                if !self.refused.contains(node) {
                    self.refused.push(node.clone());
                }
                socket.send(bytes).is_ok()
            }
            Err(_) => {
                // The route or our address has changed: the next one gets a new socket.
                self.sockets.remove(&to.ip());
                false
            }
        }
    }

    /// Waits until a node answers that nobody listens there.
    pub(super) async fn refused(&mut self) -> NodeName {
        if let Some(node) = self.refused.pop() {
            return node;
        }
        loop {
            // Only errors are waited for: no speaker sends anything to these sockets, and what is sent all the same is not read.
            let errors = self.sockets.values().map(|(node, socket)| {
                Box::pin(async move {
                    let error =
                        |socket: &UdpSocket| socket.take_error()?.ok_or_else(|| io::ErrorKind::WouldBlock.into());
                    (node, socket.async_io(Interest::ERROR, error).await)
                })
            });
            let errors: Vec<_> = errors.collect();
            if errors.is_empty() {
                return pending().await;
            }
            let ((node, error), ..) = select_all(errors).await;
            if error.is_ok_and(|error| is_refusal(&error)) {
                return node.clone();
            }
        }
    }
}

fn connect(to: SocketAddr) -> io::Result<AsyncFd<UdpSocket>> {
    let any: IpAddr = if to.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    register(socket, Interest::ERROR)
}

/// Whether an error of a connected socket says that nobody listens at its other end (ICMP: port unreachable).
fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UdpSocket;

    #[tokio::test]
    async fn who_refuses_is_told_and_who_listens_is_not() {
        let listener = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let listens = listener.local_addr().unwrap();
        let refuses = {
            let gone = UdpSocket::bind("127.0.0.2:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        let mut heartbeats = Heartbeats::default();
        assert!(heartbeats.send(&"there".into(), listens, b"beat"));
        // After the first one already, while nothing else is sent.
        assert!(heartbeats.send(&"away".into(), refuses, b"beat"));
        assert_eq!(&*heartbeats.refused().await, "away");
        for _ in 0..2 {
            heartbeats.send(&"away".into(), refuses, b"beat");
            assert!(heartbeats.send(&"there".into(), listens, b"beat"));
        }
        assert_eq!(&*heartbeats.refused().await, "away");
        let mut buffer = [0; 10];
        for _ in 0..3 {
            assert_eq!(
                listener.recv(&mut buffer).await.unwrap(),
                4,
                "none is lost for another's refusal"
            );
        }
    }
}
