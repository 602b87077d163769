//! Sockets: the only place with `unsafe`, and the only one that talks to the kernel's network.

mod packet;

pub mod arp;
pub mod links;
pub mod peers;
