//! Sockets: the only place with `unsafe`, and the only one that talks to the kernel's network.

pub mod frame_sockets;
mod heartbeat_sockets;
pub mod multicast_groups;
pub mod netlink;
mod packet_socket;
pub mod peer_socket;
mod reactor;
mod sysctl;
pub mod timerfd;
