//! Packet sockets (packet(7)): whole Ethernet frames of one interface.
#![expect(unsafe_code, reason = "the address of a packet socket has no safe interface")]

use std::io;

use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

use super::reactor::register;

/// How much may wait to be read: a packet takes almost a kilobyte of it.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Opens a socket that hears, on one interface, the frames of one EtherType that `filter` (classic BPF) accepts.
pub(super) fn open(interface: u32, ethertype: u16, filter: &[SockFilter]) -> io::Result<AsyncFd<Socket>> {
    // Protocol 0: nothing is queued before the filter is in force and the interface chosen.
    let socket = Socket::new(
        Domain::PACKET,
        Type::RAW.nonblocking().cloexec(),
        Some(Protocol::from(0)),
    )?;
    socket.attach_filter(filter)?;
    // What comes while this thread does not run waits here; the kernel takes it for as much as `net.core.rmem_max` allows, twice.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&address(interface, ethertype)?)?;
    register(socket, Interest::READABLE)
}

fn address(interface: u32, ethertype: u16) -> io::Result<SockAddr> {
    let index = i32::try_from(interface).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    // SAFETY: a sockaddr_storage is at least as large and as strictly aligned as every address, a sockaddr_ll included; all its fields are
    // plain integers, which zeroes, as SockAddr::try_init starts with, are valid for.
    let (_, address) = unsafe {
        SockAddr::try_init(|storage, size| {
            let link = storage.cast::<libc::sockaddr_ll>();
            (*link).sll_family = libc::sa_family_t::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
            (*link).sll_protocol = ethertype.to_be();
            (*link).sll_ifindex = index;
            *size = length;
            Ok(())
        })
    }?;
    Ok(address)
}
