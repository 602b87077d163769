//! What the reactor waits for. Tokio's own sockets would also wake this thread whenever something that was sent has left.
#![expect(unsafe_code, reason = "the registration with the reactor has no safe interface")]

use std::{io, net::UdpSocket, os::fd::AsRawFd};

use socket2::Socket;
use tokio::io::{Interest, unix::AsyncFd};

/// What has a descriptor to itself.
///
/// # Safety
/// It keeps the descriptor open and always gives the same one, for as long as it lives.
pub(super) unsafe trait OwnsDescriptor: AsRawFd {}

// SAFETY: it owns its descriptor and has no way to change it.
unsafe impl OwnsDescriptor for Socket {}
// SAFETY: it owns its descriptor and has no way to change it.
unsafe impl OwnsDescriptor for UdpSocket {}

/// Lets the reactor wait for what is named by `interest`, and for nothing else.
pub(super) fn register<T: OwnsDescriptor>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: the AsyncFd owns it from now on, and it keeps its descriptor.
    unsafe { AsyncFd::register_with_interest(inner, interest) }.map_err(io::Error::from)
}
