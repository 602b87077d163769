//! What a speaker says to the others, and to whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{Output, Speaker};
use crate::{
    core::{
        interface::Interface,
        link::HEARTBEAT,
        peers::{Phase, cycle},
        settings::DeputyMode,
    },
    wire::message::{CLAIMS_PER_MESSAGE, Claim, Message, Network, NodeName},
};

/// How many claims of others, with the names of their nodes, go into one message.
const OTHERS_PER_MESSAGE: usize = 12;

impl Speaker {
    pub(super) fn own_networks(&self) -> Vec<Network> {
        let interfaces = self.interfaces.iter().flatten();
        interfaces
            .filter(|interface| interface.can_announce() || interface.lacks_carrier())
            .map(Interface::network)
            .collect()
    }

    pub(super) fn cycle(&self) -> Duration {
        cycle(self.ring.len())
    }

    /// Tells those that watch this node that it is alive.
    pub(super) fn beat(&mut self, now: Instant) {
        if let Some(handover) = self.leaving {
            return self.tell_everybody(&Message::Leaving { handover });
        }
        let silent = |node: &NodeName| matches!(self.phases.get(node), Some(Phase::Suspected(_)));
        let watchers: BTreeSet<NodeName> = self.ring.watchers(&self.me, silent).into_iter().cloned().collect();
        let dismissed: Vec<NodeName> = self.watchers.difference(&watchers).cloned().collect();
        for node in dismissed {
            // It may be lost: then we are suspected, and say that we live.
            for _ in 0..3 {
                self.tell(&node, Message::Unwatch);
            }
        }
        for node in &watchers {
            self.tell(node, Message::Heartbeat);
            if let Some(address) = self.lan_address(node) {
                self.outputs.push_back(Output::Send {
                    to: node.clone(),
                    address,
                    message: Message::Heartbeat,
                });
            }
        }
        self.watchers = watchers;
        self.only_on_lan = self
            .peers
            .nodes()
            .filter(|node| self.peers.is_only_on_lan(node, now))
            .cloned()
            .collect();
        // Whatever was said since may have changed how somebody seems.
        self.next_liveness.get_or_insert(now + HEARTBEAT);
    }

    /// The address of `node` on a network that both announce on, where that is another one than its address in Kubernetes.
    fn lan_address(&self, node: &NodeName) -> Option<IpAddr> {
        let theirs = || {
            let networks = self.peers.networks_of(node).iter();
            let other = networks.filter(|network| !self.is_node_network(node, network));
            other.flat_map(|network| &network.addresses)
        };
        let interfaces = self.interfaces.iter().flatten();
        let mut ours = interfaces
            .filter(|interface| interface.can_announce())
            .flat_map(|interface| &interface.addresses);
        ours.find_map(|ours| {
            let same = |theirs: &&ipnet::IpNet| !is_link_local(theirs.addr()) && ours.contains(&theirs.addr());
            theirs().find(same).map(ipnet::IpNet::addr)
        })
    }

    /// Whether a network of `node` is the one of its address in Kubernetes.
    pub(super) fn is_node_network(&self, node: &NodeName, network: &Network) -> bool {
        let known = self.facts.as_ref().and_then(|facts| facts.nodes.get(node)?.address);
        network.addresses.iter().any(|address| Some(address.addr()) == known)
    }

    /// Says everything again to one node after the other: what was lost arrives at last, and it costs the same at every size.
    pub(super) fn repeat(&mut self, now: Instant) {
        let others = self.everybody();
        let count = u32::try_from(others.len().max(1)).unwrap_or(u32::MAX);
        self.next_repeat = now + (self.cycle() / count).max(Duration::from_millis(1));
        let me = self.me.clone();
        self.claims.refresh(now, &me);
        let after = self.repeated_to.take();
        let next = others
            .iter()
            .find(|node| after.as_ref().is_none_or(|after| *node > after));
        let Some(next) = next.or_else(|| others.first()).cloned() else {
            return;
        };
        if self.interfaces.is_some() {
            self.tell(&next, Message::Hello(self.own_networks()));
        }
        if !self.listening {
            for message in self.own_claims() {
                self.tell(&next, message);
            }
        }
        self.repeated_to = Some(next);
    }

    /// Tells everybody what networks this node has.
    pub(super) fn greet(&mut self) {
        if self.interfaces.is_some() {
            self.tell_everybody(&Message::Hello(self.own_networks()));
        }
    }

    /// Somebody claims what is another's: they are told. What is ours the neighbours are told, too, who may have heard them.
    pub(super) fn contradict(&mut self, node: &NodeName, address: IpAddr) {
        let Some(holder) = self.claims.holder(address).cloned() else {
            return;
        };
        let claim = holder.claim(address);
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

    /// Tells a speaker that has just come all that it needs; `starts`: it has just been started, as far as we know.
    pub(super) fn welcome(&mut self, now: Instant, node: &NodeName, starts: bool) {
        if self.interfaces.is_some() {
            self.tell(node, Message::Hello(self.own_networks()));
        }
        for claims in self.claims.of(node).chunks(CLAIMS_PER_MESSAGE) {
            self.tell(node, Message::YouOwn(claims.to_vec()));
        }
        if self.listening {
            return self.tell(node, Message::Listening);
        }
        // Those who are away can't say themselves what they own. It goes before the answer that is waited for. One that has not just been
        // started has heard it before, and knows better who is there where it is: after a partition, say.
        let absent = if starts {
            self.claims_of_absent(now, node)
        } else {
            Vec::new()
        };
        for some in absent.chunks(OTHERS_PER_MESSAGE) {
            self.tell(node, Message::Others(some.to_vec()));
        }
        for message in self.own_claims() {
            self.tell(node, message);
        }
    }

    /// What those own whose speakers are away, or have just been started and have not said it yet; without what `newcomer` owned.
    fn claims_of_absent(&self, now: Instant, newcomer: &NodeName) -> Vec<(NodeName, Claim)> {
        let others = self
            .claims
            .iter()
            .filter(|(owner, _)| *owner != newcomer && **owner != self.me);
        let absent = others
            .filter(|(owner, _)| !self.peers.can_take(owner, now) || self.peers.silent_on_claims(owner).is_some());
        absent.map(|(owner, claim)| (owner.clone(), claim)).collect()
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

    /// Tells everybody some of this node's claims: it is no whole list of them, and so no answer to whoever listens.
    pub(super) fn tell_claims(&mut self, claims: &[Claim]) {
        for some in claims.chunks(CLAIMS_PER_MESSAGE) {
            self.tell_everybody(&Message::Claims {
                claims: some.to_vec(),
                last: false,
            });
        }
    }

    /// Tells those who own now what this node has announced until now, and everybody what nobody owns now.
    pub(super) fn let_go(&mut self, lost: Vec<IpAddr>) {
        let mut by_node: BTreeMap<NodeName, Vec<IpAddr>> = BTreeMap::new();
        let (mut released, mut moved) = (Vec::new(), Vec::new());
        for address in lost {
            match self.claims.holder(address).cloned() {
                Some(holder) if holder.node == self.me => {
                    let claim = holder.claim(address);
                    self.claims.release(&holder.node, claim);
                    released.push(claim);
                }
                Some(holder) => {
                    moved.push((holder.node.clone(), holder.claim(address)));
                    by_node.entry(holder.node).or_default().push(address);
                }
                None => {}
            }
        }
        // Who always answers in place of this node does not wait until the new owner is heard there.
        if self.settings.deputy == DeputyMode::Always {
            for some in moved.chunks(CLAIMS_PER_MESSAGE) {
                self.tell_everybody(&Message::Others(some.to_vec()));
            }
        }
        for some in released.chunks(CLAIMS_PER_MESSAGE) {
            self.tell_everybody(&Message::Released(some.to_vec()));
        }
        for (node, addresses) in by_node {
            for some in addresses.chunks(CLAIMS_PER_MESSAGE) {
                self.tell(&node, Message::Yielded(some.to_vec()));
            }
        }
    }

    /// Every node that there is, whether a speaker is heard from it or not: that is how one is found, and how one that hears us, though we do
    /// not hear it, learns what is ours.
    fn everybody(&self) -> BTreeSet<NodeName> {
        let facts = self.facts.iter().flat_map(|facts| facts.nodes.keys());
        facts
            .chain(self.peers.nodes())
            .filter(|node| **node != self.me)
            .cloned()
            .collect()
    }

    pub(super) fn tell_everybody(&mut self, message: &Message) {
        for node in self.everybody() {
            self.tell(&node, message.clone());
        }
    }

    pub(super) fn tell(&mut self, node: &NodeName, message: Message) {
        if self.only_on_lan.contains(node)
            && let Some(address) = self.lan_address(node)
        {
            // The usual way is cut.
            self.outputs.push_back(Output::Send {
                to: node.clone(),
                address,
                message: message.clone(),
            });
        }
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

pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
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
