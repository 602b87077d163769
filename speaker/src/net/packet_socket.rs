//! Packet sockets (packet(7)), which carry whole Ethernet frames of one interface.
#![expect(
    unsafe_code,
    reason = "socket2 has no safe constructor for the address of a packet socket, and none of its options"
)]

use std::{io, os::fd::AsRawFd, ptr::from_mut};

use lodestone_speaker_core::InterfaceIndex;
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

use super::reactor::register;

/// The size of the receive buffer in bytes. A packet takes almost a kilobyte of it.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Opens a socket for the frames of one EtherType on one interface. It receives only frames that
/// `filter` (classic BPF) accepts.
pub(super) fn open(interface: InterfaceIndex, ethertype: u16, filter: &[SockFilter]) -> io::Result<AsyncFd<Socket>> {
    // With protocol 0 the kernel queues nothing until the filter is attached and the interface is
    // bound.
    let socket = Socket::new(
        Domain::PACKET,
        Type::RAW.nonblocking().cloexec(),
        Some(Protocol::from(0)),
    )?;
    socket.attach_filter(filter)?;
    // Frames wait here while the thread does not run. The kernel caps the size at
    // `net.core.rmem_max`, and then doubles it.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&address(interface, ethertype)?)?;
    register(socket, Interest::READABLE)
}

/// Returns how many frames the kernel has dropped since the last call, because the receive buffer
/// was full.
pub(super) fn take_dropped(socket: &Socket) -> io::Result<u32> {
    let mut statistics = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    let size = libc::socklen_t::try_from(size_of_val(&statistics)).map_err(io::Error::other)?;
    let mut length = size;
    // SAFETY: both pointers come from exclusive references that live until the call returns. The
    // kernel writes at most `length` bytes to the first, which is its size. Any bytes are a valid
    // value of its two integers. The descriptor is open, because `socket` owns it.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            from_mut(&mut statistics).cast(),
            from_mut(&mut length),
        )
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    if length != size {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(statistics.tp_drops)
}

fn address(interface: InterfaceIndex, ethertype: u16) -> io::Result<SockAddr> {
    let index = i32::try_from(interface.0).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    // SAFETY: `try_init` passes a pointer to zeroed memory of type sockaddr_storage. That type is
    // at least as large and as strictly aligned as sockaddr_ll, so the cast pointer may be written
    // through. All fields of sockaddr_ll are plain integers, for which zero is a valid value.
    // `length` is the size of the structure that was written.
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
