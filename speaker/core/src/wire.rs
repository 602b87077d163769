//! What goes over the wire: frames on the LAN, messages between speakers. Readers take any bytes.

pub mod arp;
pub mod envelope;
pub mod key_ring;
pub mod message;
pub mod ndp;
