//! Registers descriptors with tokio's reactor, for exactly the readiness that is needed.
//!
//! Tokio's own sockets always register for writing, too. They would wake the thread each time that
//! a sent packet leaves the queue.
#![expect(unsafe_code, reason = "AsyncFd has no safe constructor that takes the interest")]

use std::{io, net::UdpSocket, os::fd::AsRawFd};

use socket2::Socket;
use tokio::io::{Interest, unix::AsyncFd};

/// A type that owns its descriptor.
///
/// # Safety
/// The implementor must keep the descriptor open, and must return the same one from `as_raw_fd`,
/// for as long as it lives.
pub(super) unsafe trait OwnsDescriptor: AsRawFd {}

// SAFETY: a Socket owns its descriptor and has no method that replaces it.
unsafe impl OwnsDescriptor for Socket {}
// SAFETY: a UdpSocket owns its descriptor and has no method that replaces it.
unsafe impl OwnsDescriptor for UdpSocket {}

/// Registers `inner` with the reactor, for `interest` and nothing else.
pub(super) fn register<T: OwnsDescriptor>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: the AsyncFd owns `inner` from now on. By the contract of OwnsDescriptor, the
    // descriptor stays open and the same until `inner` is dropped.
    unsafe { AsyncFd::register_with_interest(inner, interest) }.map_err(io::Error::from)
}
