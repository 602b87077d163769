//! The inputs of the driver.

use lodestone_runtime::admin::Query;

use super::lan_sockets::BufferedFrame;
use crate::net::peer_socket::Received;

/// What the driver waits for.
#[derive(Debug)]
pub(super) enum DriverEvent {
    /// The core's next timeout is due.
    TimeoutDue,
    /// A frame arrived.
    Frame(BufferedFrame),
    /// Something arrived at the sockets for peers.
    Peer(Received),
    /// The interfaces or the kernel's settings changed.
    LinksChanged,
    /// It is time to open failed interfaces again.
    RetryDue,
    /// There is a new snapshot.
    SnapshotChanged,
    /// There is a new key.
    KeyChanged,
    /// A client asks for `/debug/state` or `/metrics`.
    Query(Query),
    /// The process wants to stop.
    ShutdownRequested,
    /// Other speakers did not cover all addresses in time.
    ShutdownTimedOut,
}
