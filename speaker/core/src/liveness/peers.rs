//! Which speakers are alive, as far as is heard of them: by heartbeats of those that this node watches, by what others say of the rest.

mod peer;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

pub use peer::{Leaving, Path, Phase};
use peer::{Peer, Watched};

use crate::core::{facts::ClusterSnapshot, link::Link};
use crate::wire::message::{Network, NodeName};

/// How many messages a second go to each node in turn, to say everything again.
const REPEATS: u32 = 7;

/// How often everything is said again in a small cluster.
const CYCLE: Duration = Duration::from_secs(2);

/// How long one that was heard though nobody seemed to watch it is taken for watched.
const SPARED: Duration = Duration::from_secs(1);

/// How often everything is said again to everybody, in a cluster of so many nodes.
#[must_use]
pub fn cycle(nodes: usize) -> Duration {
    let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
    CYCLE.max(Duration::from_secs(1) * nodes / REPEATS)
}

/// What a message tells about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The message was seen before: to be ignored.
    Again,
    /// It is older than the sender was before: sent again by somebody, or the sender's clock has gone back since.
    Behind(u64),
    /// It goes on as before.
    Known,
    /// It was not alive before, as far as we knew.
    Appeared,
    /// It was started anew: it has forgotten what it owned.
    Restarted,
}

/// All other speakers that were ever heard. Whoever has the key is one, whether the API server has told us of its node or not.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    heard: BTreeMap<NodeName, Peer>,
    cycle: Duration,
}

impl Peers {
    /// Takes in that a message came, before its content is looked at. Messages that were recorded and are sent again carry a number that
    /// was used before.
    pub fn hear(
        &mut self,
        now: Instant,
        from: &NodeName,
        (address, path): (IpAddr, Path),
        boot: u64,
        sequence: u64,
    ) -> Heard {
        let cycle = self.cycle;
        let fresh = Peer::new(now, address, boot, sequence);
        let Some(peer) = self.heard.get_mut(from) else {
            self.heard.insert(from.clone(), fresh);
            return Heard::Restarted;
        };
        if boot < peer.boot {
            return Heard::Behind(peer.boot);
        }
        if boot > peer.boot {
            // Its networks are most likely what they were; it is about to say so.
            *peer = Peer {
                networks: peer.networks.take(),
                connected: std::mem::take(&mut peer.connected),
                ..fresh
            };
            return Heard::Restarted;
        }
        if !peer.accept(sequence) {
            return Heard::Again;
        }
        let was_heard = !matches!(peer.phase(now, cycle), Phase::Suspected(_));
        peer.last = now;
        // Where it announces it may be cut off all the same.
        peer.told
            .retain(|_, (_, on_lan)| path == Path::Node && on_lan.is_some());
        peer.told_doubt = None;
        peer.refused = false;
        if peer.unwatched.take().is_some() {
            peer.heard_unwatched = Some(now);
        }
        match path {
            Path::Node => {
                peer.address = address;
                peer.node.link.hear(now);
            }
            Path::Lan => peer.lan.link.hear(now),
        }
        let is_heard = !matches!(peer.phase(now, cycle), Phase::Suspected(_));
        if was_heard || !is_heard {
            Heard::Known
        } else {
            Heard::Appeared
        }
    }

    /// Takes in a heartbeat: from now on more are expected.
    pub fn beat(&mut self, now: Instant, from: &NodeName, path: Path) {
        if let Some(peer) = self.heard.get_mut(from) {
            let watched = match path {
                Path::Node => &mut peer.node,
                Path::Lan => &mut peer.lan,
            };
            if std::mem::replace(&mut watched.expected, true) {
                watched.link.beat(now);
            } else {
                watched.link = Link::new(now);
            }
        }
    }

    /// No more heartbeats are to be expected.
    pub fn unwatch(&mut self, from: &NodeName) {
        if let Some(peer) = self.heard.get_mut(from) {
            peer.node.expected = false;
            peer.lan.expected = false;
        }
    }

    /// `teller` does not hear `node`, or only not where that announces.
    pub fn told(&mut self, now: Instant, node: &NodeName, teller: &NodeName, on_lan: bool) {
        if let Some(peer) = self.heard.get_mut(node) {
            let (_, said) = peer.told.entry(teller.clone()).or_insert((now, None));
            *said = on_lan.then_some(now);
        }
    }

    /// What `teller` has said of others no longer counts.
    pub fn forget_teller(&mut self, teller: &NodeName) {
        for peer in self.heard.values_mut() {
            peer.told.remove(teller);
        }
    }

    /// `teller` hears `node` again.
    pub fn told_well(&mut self, node: &NodeName, teller: &NodeName) {
        if let Some(peer) = self.heard.get_mut(node) {
            peer.told.remove(teller);
        }
    }

    /// Whether a speaker is heard, and not where it announces.
    #[must_use]
    pub fn is_cut_off(&self, node: &NodeName, now: Instant) -> bool {
        self.heard.get(node).is_some_and(|peer| {
            let silent = |watched: &Watched| matches!(watched.phase(now), Phase::Suspected(_));
            peer.lan.expected && silent(&peer.lan) && !silent(&peer.node)
        })
    }

    /// Whether a speaker is heard where it announces, and not at its address in Kubernetes.
    #[must_use]
    pub fn is_only_on_lan(&self, node: &NodeName, now: Instant) -> bool {
        self.heard.get(node).is_some_and(|peer| {
            let silent = |watched: &Watched| matches!(watched.phase(now), Phase::Suspected(_));
            peer.lan.expected && !silent(&peer.lan) && silent(&peer.node)
        })
    }

    /// Whether a speaker has ever said what networks it has.
    #[must_use]
    pub fn has_said_networks(&self, node: &NodeName) -> bool {
        self.heard.get(node).is_some_and(|peer| peer.networks.is_some())
    }

    /// Somebody has its doubts about `node`.
    pub fn told_doubt(&mut self, now: Instant, node: &NodeName) {
        if let Some(peer) = self.heard.get_mut(node) {
            peer.told_doubt = Some(now);
        }
    }

    /// The node has said that nobody listens there. Gives back whether that is worth a look: not again before something is heard of it.
    pub fn refused(&mut self, now: Instant, node: &NodeName) -> bool {
        let cycle = self.cycle;
        self.heard.get_mut(node).is_some_and(|peer| {
            let silent = matches!(peer.phase(now, cycle), Phase::Suspected(_));
            !silent && !std::mem::replace(&mut peer.refused, true)
        })
    }

    /// Whether the node has said so since it was last heard.
    #[must_use]
    pub fn is_refused(&self, node: &NodeName) -> bool {
        self.heard.get(node).is_some_and(|peer| peer.refused)
    }

    /// Nobody that this node hears watches `node`: nobody would tell that it is silent. Whoever was heard all the same is spared for a
    /// while: else each word of it would be news, and the answer to it, too.
    pub fn set_unwatched(&mut self, now: Instant, node: &NodeName, unwatched: bool) {
        if let Some(peer) = self.heard.get_mut(node) {
            peer.heard_unwatched = peer.heard_unwatched.filter(|heard| now < *heard + SPARED);
            let counts = unwatched && peer.heard_unwatched.is_none();
            peer.unwatched = counts.then(|| peer.unwatched.unwrap_or(now));
        }
    }

    /// Whether nobody that this node hears watches `node`, and nothing was heard of it since.
    #[must_use]
    pub fn is_unwatched(&self, node: &NodeName) -> bool {
        self.heard.get(node).is_some_and(|peer| peer.unwatched.is_some())
    }

    /// How many do not hear it: those who have said so, and this node.
    #[must_use]
    pub fn suspected_by(&self, node: &NodeName, now: Instant) -> usize {
        self.heard.get(node).map_or(0, |peer| {
            let by_us = peer.way().expected && matches!(peer.way().phase(now), Phase::Suspected(_));
            peer.told(now).count() + usize::from(by_us)
        })
    }

    /// Where a speaker was last heard from.
    #[must_use]
    pub fn address(&self, node: &NodeName) -> Option<IpAddr> {
        self.heard.get(node).map(|peer| peer.address)
    }

    /// All that were ever heard.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.heard.keys()
    }

    /// Whether a speaker was ever heard, and not forgotten since.
    #[must_use]
    pub fn knows(&self, node: &NodeName) -> bool {
        self.heard.contains_key(node)
    }

    /// Takes in the networks of a speaker. Gives back whether they are others than before.
    pub fn set_networks(&mut self, from: &NodeName, networks: Vec<Network>) -> bool {
        let Some(peer) = self.heard.get_mut(from) else {
            return false;
        };
        let changed = peer.networks.as_ref() != Some(&networks);
        peer.connected = networks.iter().filter(|network| network.carrier).cloned().collect();
        peer.networks = Some(networks);
        changed
    }

    /// The networks with a carrier of a speaker, by what it has last said, whether it is alive or not.
    #[must_use]
    pub fn networks_of(&self, node: &NodeName) -> &[Network] {
        self.heard
            .get(node)
            .map(|peer| peer.connected.as_slice())
            .unwrap_or_default()
    }

    /// Takes in that a speaker is about to end. Gives back whether that is news.
    pub fn set_leaving(&mut self, now: Instant, from: &NodeName, handover: bool) -> bool {
        let Some(peer) = self.heard.get_mut(from) else {
            return false;
        };
        let news = peer.leaving.is_none_or(|leaving| leaving.handover != handover);
        if news {
            peer.leaving = Some(Leaving { since: now, handover });
        }
        news
    }

    /// Whether a speaker has said that it ends.
    #[must_use]
    pub fn leaving(&self, node: &NodeName) -> Option<Leaving> {
        self.heard.get(node)?.leaving
    }

    /// Takes in that a speaker has said all that it owns. Gives back whether it had not since it was started.
    pub fn has_told_claims(&mut self, from: &NodeName) -> bool {
        let peer = self.heard.get_mut(from);
        peer.is_some_and(|peer| peer.silent_on_claims.take().is_some())
    }

    /// Since when a speaker has been there without saying what it owns.
    #[must_use]
    pub fn silent_on_claims(&self, node: &NodeName) -> Option<Instant> {
        self.heard.get(node)?.silent_on_claims
    }

    /// How alive a speaker seems; `None` for one that was never heard.
    #[must_use]
    pub fn phase(&self, node: &NodeName, now: Instant) -> Option<Phase> {
        Some(self.heard.get(node)?.phase(now, self.cycle))
    }

    /// The same by one way, where heartbeats come over that.
    #[must_use]
    pub fn phase_by(&self, node: &NodeName, now: Instant, path: Path) -> Option<Phase> {
        let peer = self.heard.get(node)?;
        Some(match path {
            Path::Node if peer.lan.expected && peer.node.expected => peer.node.phase(now),
            _ => peer.phase(now, self.cycle),
        })
    }

    /// Whether heartbeats of a speaker come over a network that addresses are announced on, beside the one between the nodes.
    #[must_use]
    pub fn has_lan(&self, node: &NodeName) -> bool {
        self.heard.get(node).is_some_and(|peer| peer.lan.expected)
    }

    /// Whether a speaker is heard by any way.
    #[must_use]
    pub fn lives(&self, node: &NodeName, now: Instant) -> bool {
        self.heard.get(node).is_some_and(|peer| peer.is_heard(now, self.cycle))
    }

    /// Whether a speaker is heard where it announces, and stays: it can take an address.
    #[must_use]
    pub fn can_take(&self, node: &NodeName, now: Instant) -> bool {
        self.heard
            .get(node)
            .is_some_and(|peer| peer.leaving.is_none() && !matches!(peer.phase(now, self.cycle), Phase::Suspected(_)))
    }

    /// All networks, also those without a carrier, of every speaker that can take an address.
    pub fn networks(&self, now: Instant) -> impl Iterator<Item = (&NodeName, &Vec<Network>)> {
        self.heard
            .iter()
            .filter(move |(node, _)| self.can_take(node, now))
            .filter_map(|(node, peer)| Some((node, peer.networks.as_ref()?)))
    }

    /// What is lost on the way from a speaker to us, from 0 to 1. Of one that is not watched nothing is known but what the others' ways are like.
    #[must_use]
    pub fn loss(&self, node: &NodeName) -> f64 {
        let watched = |peer: &&Peer| peer.way().expected;
        let loss = |peer: &Peer| peer.way().link.loss();
        let own = self.heard.get(node).filter(watched).map(loss);
        own.unwrap_or_else(|| self.heard.values().filter(watched).map(loss).fold(0.0, f64::max))
    }

    /// Whether this node watches `node`.
    #[must_use]
    pub fn watches(&self, node: &NodeName) -> bool {
        self.heard.get(node).is_some_and(|peer| peer.way().expected)
    }

    /// When the next one will be doubted or suspected unless it is heard.
    #[must_use]
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let of = |peer: &Peer| {
            let ways = [&peer.node, &peer.lan].into_iter().filter(|way| way.expected);
            ways.flat_map(|way| [way.link.doubted_from(), way.link.suspected_from()])
                .filter(|at| *at > now)
                .min()
        };
        self.heard.values().filter_map(of).min()
    }

    /// This process did not run for `pause`: what came meanwhile is still unread, so nobody is to be suspected for it.
    pub fn excuse(&mut self, now: Instant, pause: Duration) {
        for peer in self.heard.values_mut() {
            peer.last = now.min(peer.last + pause);
            peer.node.link.excuse(now, pause);
            peer.lan.link.excuse(now, pause);
        }
    }

    /// Forgets the speakers that are silent and whose nodes are no longer in the cluster.
    pub fn retain(&mut self, now: Instant, facts: &ClusterSnapshot) {
        self.cycle = cycle(facts.nodes.len());
        let cycle = self.cycle;
        self.heard
            .retain(|node, peer| facts.nodes.contains_key(node) || peer.is_heard(now, cycle));
    }
}

#[cfg(test)]
mod tests;
