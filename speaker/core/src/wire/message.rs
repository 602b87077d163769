//! What speakers tell each other.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The name of a node.
pub type NodeName = Arc<str>;

/// How many claims go into one message, so that it fits into one packet of an ordinary network.
pub const CLAIMS_PER_MESSAGE: usize = 44;

/// That a node owns an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The address.
    pub address: IpAddr,
    /// Grows with each change of owner: of two claims the higher one holds.
    pub epoch: u64,
    /// Whether the owner does not answer for it: it is being probed for, or a foreign host has it. Then nobody stands in, and whoever takes it
    /// probes first.
    pub held_back: bool,
}

/// A network that a node can announce on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The name of the interface.
    pub interface: String,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// The addresses that the node has on it, with the lengths of their prefixes.
    pub addresses: Vec<IpNet>,
    /// Whether it is up and has a carrier. Without one nothing is announced on it.
    pub carrier: bool,
}

/// What one speaker tells another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// I am alive, and you are one of those who watch me: you hear this in every interval.
    Heartbeat,
    /// You are no longer one of those who watch me.
    Unwatch,
    /// A node that I watch is late: whoever is its deputy stands in for it for the time being.
    Doubt(NodeName),
    /// A node that I watch is silent.
    Suspect {
        /// The node.
        node: NodeName,
        /// Whether it is silent only where it announces.
        on_lan: bool,
    },
    /// A node that I watch is heard again.
    Hears(NodeName),
    /// You were silent for us: tell everybody that you are alive.
    Suspected,
    /// I am alive, and these are the networks that I announce on, or would if they had a carrier: all of them.
    Hello(Vec<Network>),
    /// I announce these addresses; the last message of a row says so.
    Claims {
        /// Some of them.
        claims: Vec<Claim>,
        /// Whether there are no more.
        last: bool,
    },
    /// These nodes own these addresses, whatever you may think.
    Others(Vec<(NodeName, Claim)>),
    /// You have been here with a higher [`Datagram::boot`] before: your clock has gone back.
    Behind(u64),
    /// You owned these addresses before you were started anew.
    YouOwn(Vec<Claim>),
    /// I have just been started, and don't know yet what I own.
    Listening,
    /// I no longer announce these addresses, and nobody else does yet.
    Released(Vec<Claim>),
    /// I have announced these addresses until now and leave them to you: neighbours may have heard me last.
    Yielded(Vec<IpAddr>),
    /// I am about to end.
    Leaving {
        /// Whether others are to take what I own; else they stand in for me until I am back.
        handover: bool,
    },
    /// I stand in for you at these addresses.
    StandIn(Vec<IpAddr>),
}

/// A message, and who sent it when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagram {
    /// The node of the sender.
    pub from: NodeName,
    /// The node that it is for: sent to another one it means nothing.
    pub to: NodeName,
    /// Grows with each start of the sender.
    pub boot: u64,
    /// Grows with each message that it sends.
    pub sequence: u64,
    /// What it says.
    pub message: Message,
}

impl Datagram {
    /// As bytes.
    ///
    /// # Errors
    /// Never, for the types above; the encoder's interface knows failures.
    pub fn write(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_stdvec(self)
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// When the bytes are nothing of the kind.
    pub fn read(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_message_fits_into_one_packet() {
        let claim = |index: u64| Claim {
            address: "2001:db8:ffff:ffff::1".parse().unwrap(),
            epoch: u64::from(u32::MAX) + index,
            held_back: false,
        };
        let message = Message::Claims {
            claims: (0..44).map(claim).collect(),
            last: true,
        };
        let datagram = Datagram {
            from: "n".repeat(63).into(),
            to: "m".repeat(63).into(),
            boot: u64::MAX,
            sequence: u64::MAX,
            message,
        };
        let bytes = datagram.write().unwrap();
        // The envelope adds 42 bytes, IPv6 and UDP 48.
        assert!(bytes.len() + 42 + 48 <= 1500, "{}", bytes.len());
        assert_eq!(Datagram::read(&bytes).unwrap(), datagram);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Datagram::read(&bytes);
        }
    }
}
