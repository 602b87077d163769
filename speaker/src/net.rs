//! Sockets. Only this module talks to the kernel's network, and only here is `unsafe` code.
//!
//! | Module | Purpose |
//! |---|---|
//! | [`frame_filter`] | BPF programs that choose the frames |
//! | [`frame_sockets`] | ARP and NDP frames of all interfaces |
//! | [`heartbeat_sockets`] | connected UDP sockets for heartbeats |
//! | [`multicast_groups`] | memberships in solicited-node groups |
//! | [`netlink`] | the interfaces of the node |
//! | [`packet_socket`] | opens a packet socket |
//! | [`peer_socket`] | sealed messages between speakers |
//! | [`reactor`] | registers a descriptor with tokio |
//! | [`sysctl`] | the kernel's settings |
//! | [`timerfd`] | the timer of the driver |

mod frame_filter;
pub mod frame_sockets;
pub(crate) mod heartbeat_sockets;
pub(crate) mod multicast_groups;
pub mod netlink;
pub(crate) mod packet_socket;
pub(crate) mod peer_socket;
pub(crate) mod reactor;
pub(crate) mod sysctl;
pub(crate) mod timerfd;
