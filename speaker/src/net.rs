//! Sockets: the only place with `unsafe`, and the only one that talks to the kernel's network.

mod packet;

pub mod frames;
pub mod groups;
mod heartbeats;
mod kernel;
mod keys;
pub mod links;
pub mod peers;
mod reactor;
pub mod timer;
