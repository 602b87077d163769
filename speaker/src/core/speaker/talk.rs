//! What a speaker says to the others, and to whom.

use std::{collections::BTreeSet, net::IpAddr, time::Instant};

use super::{Output, Speaker};
use crate::{
    core::interface::Interface,
    wire::message::{CLAIMS_PER_MESSAGE, Claim, Message, Network, NodeName},
};

impl Speaker {
    pub(super) fn own_networks(&self) -> Vec<Network> {
        let interfaces = self.interfaces.iter().flatten();
        interfaces
            .filter(|interface| interface.can_announce())
            .map(Interface::network)
            .collect()
    }

    /// Somebody claims what is another's: they are told. What is ours the neighbours are told, too, who may have heard them.
    pub(super) fn contradict(&mut self, node: &NodeName, address: IpAddr) {
        let Some(holder) = self.claims.holder(address).cloned() else {
            return;
        };
        let claim = Claim {
            address,
            epoch: holder.epoch,
        };
        if holder.node == self.me {
            self.tell(
                node,
                Message::Claims {
                    claims: vec![claim],
                    last: false,
                },
            );
            self.announce(address);
        } else {
            self.tell(node, Message::Others(vec![(holder.node, claim)]));
        }
    }

    /// Tells a speaker that has just come all that it needs.
    pub(super) fn welcome(&mut self, node: &NodeName) {
        self.tell(node, Message::Hello(self.own_networks()));
        for claims in self.claims.of(node).chunks(CLAIMS_PER_MESSAGE) {
            self.tell(node, Message::YouOwn(claims.to_vec()));
        }
        for message in self.own_claims() {
            self.tell(node, message);
        }
    }

    /// The claims to all that this node announces, in at least one message: that there are none is an answer, too. What it has claimed and
    /// does not announce is not said: others may then take it.
    pub(super) fn own_claims(&self) -> Vec<Message> {
        let claims = self
            .claims
            .of(&self.me)
            .into_iter()
            .filter(|claim| self.owned.contains_key(&claim.address));
        let claims: Vec<Claim> = claims.collect();
        messages(&claims)
    }

    /// To the speakers that are alive.
    pub(super) fn tell_living(&mut self, now: Instant, message: &Message) {
        let living: Vec<NodeName> = self
            .peers
            .nodes()
            .filter(|node| self.peers.lives(node, now))
            .cloned()
            .collect();
        for node in living {
            self.tell(&node, message.clone());
        }
    }

    /// To every node that there is, whether a speaker is heard from it or not: that is how one is found, and how one that hears us,
    /// though we do not hear it, learns what is ours.
    pub(super) fn tell_everybody(&mut self, message: &Message) {
        let facts = self.facts.iter().flat_map(|facts| facts.nodes.keys());
        let all: BTreeSet<NodeName> = facts
            .chain(self.peers.nodes())
            .filter(|node| **node != self.me)
            .cloned()
            .collect();
        for node in all {
            self.tell(&node, message.clone());
        }
    }

    pub(super) fn tell(&mut self, node: &NodeName, message: Message) {
        let known = self.facts.as_ref().and_then(|facts| facts.nodes.get(node)?.address);
        if let Some(address) = known.or_else(|| self.peers.address(node)) {
            self.outputs.push_back(Output::Send {
                to: node.clone(),
                address,
                message,
            });
        }
    }
}

/// The messages that say all of these claims.
fn messages(claims: &[Claim]) -> Vec<Message> {
    let mut chunks: Vec<&[Claim]> = claims.chunks(CLAIMS_PER_MESSAGE).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let count = chunks.len();
    let message = |(index, claims): (usize, &[Claim])| Message::Claims {
        claims: claims.to_vec(),
        last: index + 1 == count,
    };
    chunks.into_iter().enumerate().map(message).collect()
}
