//! The messages that speakers send to each other, and their encoding.
//!
//! Postcard encodes a variant by its position, so new variants go to the end.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::types::{BootId, Epoch, MacAddr, NodeName, mac_bytes};

/// The maximum number of claims in one message, so that it fits into one packet of 1500 bytes.
pub const CLAIMS_PER_MESSAGE: usize = 44;

/// A statement that a node owns an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The address that the node owns.
    pub address: IpAddr,
    /// Decides between two claims.
    pub epoch: Epoch,
    /// The owner does not answer for the address yet: conflict detection runs, or a foreign host
    /// has it. No deputy answers for it either, and a takeover starts with conflict detection.
    pub tentative: bool,
}

/// A network of a node, which is an interface on which it can announce, as the node reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The name of the interface.
    pub interface: String,
    /// The MAC of the interface.
    #[serde(with = "mac_bytes")]
    pub mac: MacAddr,
    /// The node's addresses on the interface, with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// Whether the interface is up with carrier, and the node is not isolated there. Otherwise
    /// nothing is announced there.
    pub usable: bool,
}

/// What one speaker sends to another. "I" is the sender, "you" the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// I am alive. Sent in every heartbeat interval to the nodes that watch me.
    Heartbeat,
    /// You no longer watch me: expect no more heartbeats.
    Unwatch,
    /// A node that I watch is suspect: its deputies answer for it until it is heard.
    Suspect(NodeName),
    /// A node that I watch has failed.
    Failed {
        /// The node that has failed.
        node: NodeName,
        /// True if the node is silent only on networks other than the node network. This speaker
        /// never sends true, because [`Self::FailedOn`] says more. It still understands it.
        lan_only: bool,
    },
    /// A node that I watch is heard again.
    Recovered(NodeName),
    /// I had declared you failed: broadcast a refutation.
    WasFailed,
    /// I am alive, and these are all networks that I announce on, or would with carrier.
    Hello(Vec<Network>),
    /// I announce these addresses.
    Claims {
        /// Some of my claims.
        claims: Vec<Claim>,
        /// This is the last message of my full list.
        last: bool,
    },
    /// Claims of other nodes, which the receiver may not hear.
    RelayedClaims(Vec<(NodeName, Claim)>),
    /// I have seen a message of yours with this higher boot id: your clock went backwards.
    StaleBoot(BootId),
    /// You owned these addresses before your restart.
    YourClaims(Vec<Claim>),
    /// I have just started and do not know yet what I own.
    Listening,
    /// I no longer announce these addresses, and nobody else does yet.
    Released(Vec<Claim>),
    /// I acknowledge your claims to these addresses and have stopped announcing them. Neighbours
    /// may have heard me last.
    Yielded(Vec<IpAddr>),
    /// I am shutting down.
    Leaving {
        /// Others take my addresses over; otherwise deputies answer for me until I am back.
        handover: bool,
    },
    /// I answer as your deputy for these addresses.
    DeputyFor(Vec<IpAddr>),
    /// A node that I watch has failed on some of its networks, and I hear it elsewhere.
    FailedOn {
        /// The node that has failed there.
        node: NodeName,
        /// The names of its interfaces on those networks.
        networks: BTreeSet<String>,
    },
    /// I own these addresses provisionally: I took them while you were missing. Take one over if
    /// you are eligible.
    Offer(Vec<IpAddr>),
}

/// A message with its sender and its place in the sender's sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagram {
    /// The node of the sender.
    pub from: NodeName,
    /// The node of the receiver. Any other node ignores the message.
    pub to: NodeName,
    /// The sender's run.
    pub boot: BootId,
    /// Grows by one with each message of a run.
    pub sequence: u64,
    /// What the sender says.
    pub message: Message,
}

/// The bytes are no datagram of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a datagram")]
pub struct DecodeError;

/// The datagram cannot be written. No value of these types causes it, but the encoder is fallible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot encode the datagram")]
pub struct EncodeError;

impl Datagram {
    /// Encodes the datagram.
    ///
    /// # Errors
    /// When the encoder refuses, which it does for no value of these types.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        postcard::to_stdvec(self).map_err(|_| EncodeError)
    }

    /// Decodes what [`Self::encode`] encoded.
    ///
    /// # Errors
    /// When the bytes are no datagram.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        postcard::from_bytes(bytes).map_err(|_| DecodeError)
    }
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn full_message_fits_into_one_packet() {
        let claim = |index: u64| Claim {
            address: "2001:db8:ffff:ffff::1".parse().unwrap(),
            epoch: Epoch(u64::from(u32::MAX) + index),
            tentative: false,
        };
        let message = Message::Claims {
            claims: (0..).map(claim).take(CLAIMS_PER_MESSAGE).collect(),
            last: true,
        };
        let datagram = Datagram {
            from: "n".repeat(63).into(),
            to: "m".repeat(63).into(),
            boot: BootId(u64::MAX),
            sequence: u64::MAX,
            message,
        };
        let bytes = datagram.encode().unwrap();
        // The envelope adds 42 bytes, IPv6 and UDP 48.
        assert!(bytes.len() + 42 + 48 <= 1500, "{}", bytes.len());
        assert_eq!(Datagram::decode(&bytes).unwrap(), datagram);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Datagram::decode(&bytes);
        }
    }
}
