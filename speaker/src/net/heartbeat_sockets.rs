//! Connected UDP sockets for heartbeats, one for each watcher of this node.
//!
//! On a connected socket the kernel reports an ICMP port-unreachable, so the speaker learns early
//! that a peer's port is closed. That is a hint only: it can be forged. Losing it costs nothing.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use futures::future::select_all;
use lodestone_speaker_core::NodeName;
use tokio::io::{Interest, unix::AsyncFd};

use super::reactor::register;

/// The most sockets that are kept, which is far more than a node has watchers. When there are more,
/// all are closed, and those in use are opened again.
const LIMIT: usize = 64;

/// The sockets, by the address that they are connected to.
#[derive(Debug, Default)]
pub(super) struct HeartbeatSockets {
    sockets: BTreeMap<IpAddr, (NodeName, AsyncFd<UdpSocket>)>,
    /// Nodes whose port was found unreachable while sending, for [`Self::next_port_unreachable`].
    unreachable: Vec<NodeName>,
}

impl HeartbeatSockets {
    /// Sends a heartbeat. Returns whether the kernel has taken it.
    pub(super) fn send(&mut self, node: &NodeName, to: SocketAddr, bytes: &[u8]) -> bool {
        if self.sockets.len() > LIMIT {
            self.sockets.clear();
        }
        let (name, socket) = match self.sockets.entry(to.ip()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let Ok(socket) = connect(to) else { return false };
                entry.insert((node.clone(), socket))
            }
        };
        name.clone_from(node);
        let socket = socket.get_ref();
        match socket.send(bytes) {
            Ok(_) => true,
            Err(error) if is_port_unreachable(&error) => {
                // The error is about an earlier heartbeat. This one was not sent, so it is sent
                // again. These errors are read behind messages, so a flood of those can delay that.
                // Each node is therefore listed once.
                if !self.unreachable.contains(node) {
                    self.unreachable.push(node.clone());
                }
                socket.send(bytes).is_ok()
            }
            Err(_) => {
                // The route or our own address has changed. The next heartbeat gets a new socket.
                self.sockets.remove(&to.ip());
                false
            }
        }
    }

    /// Waits until a node reports that its port is closed. Cancel safe: the kernel keeps an error
    /// until it is taken, and a taken error is returned at once.
    pub(super) async fn next_port_unreachable(&mut self) -> NodeName {
        if let Some(node) = self.unreachable.pop() {
            return node;
        }
        loop {
            // Only errors matter. No speaker sends to these sockets, and other datagrams are not
            // read.
            let errors = self.sockets.values().map(|(node, socket)| {
                Box::pin(async move {
                    let take_error =
                        |socket: &UdpSocket| socket.take_error()?.ok_or_else(|| io::ErrorKind::WouldBlock.into());
                    (node, socket.async_io(Interest::ERROR, take_error).await)
                })
            });
            let errors: Vec<_> = errors.collect();
            if errors.is_empty() {
                return pending().await;
            }
            let ((node, error), ..) = select_all(errors).await;
            if error.is_ok_and(|error| is_port_unreachable(&error)) {
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

/// Whether the error of a connected socket is an ICMP port-unreachable: nothing listens at the
/// other end.
fn is_port_unreachable(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UdpSocket;

    #[tokio::test]
    async fn closed_ports_are_reported_and_no_heartbeat_to_open_ones_is_lost() {
        let listener = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = {
            let socket = UdpSocket::bind("127.0.0.2:0").await.unwrap();
            socket.local_addr().unwrap()
        };
        let mut heartbeats = HeartbeatSockets::default();
        assert!(heartbeats.send(&"there".into(), open, b"beat"));
        // The first heartbeat is enough, without another send.
        assert!(heartbeats.send(&"away".into(), closed, b"beat"));
        assert_eq!(heartbeats.next_port_unreachable().await.as_str(), "away");
        for _ in 0..2 {
            heartbeats.send(&"away".into(), closed, b"beat");
            assert!(heartbeats.send(&"there".into(), open, b"beat"));
        }
        assert_eq!(heartbeats.next_port_unreachable().await.as_str(), "away");
        let mut buffer = [0; 10];
        for _ in 0..3 {
            let length = listener.recv(&mut buffer).await.unwrap();
            assert_eq!(length, 4, "a closed port elsewhere loses no heartbeat");
        }
    }
}
