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
}

/// A network that a node can announce on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The name of the interface.
    pub interface: String,
    /// The prefixes that the node has addresses in, on this interface.
    pub prefixes: Vec<IpNet>,
}

/// What one speaker tells another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// I am alive.
    Heartbeat,
    /// I am alive, and these are the networks that I can announce on: all of them.
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
    /// I am about to end: let others take what I own.
    Leaving,
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
