//! Which speakers are alive: a plain heartbeat between all of them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::facts::Facts;
use crate::wire::message::{Network, NodeName};

/// How often a speaker that is alive hears from us.
pub const HEARTBEAT: Duration = Duration::from_millis(100);
/// How often all is said again, to those who are alive and to those who may come to be.
pub const HELLO: Duration = Duration::from_secs(1);
/// A speaker that was not heard for this long is dead.
pub const DEAD_AFTER: Duration = Duration::from_millis(1500);

/// Another speaker.
#[derive(Clone, Debug)]
struct Peer {
    boot: u64,
    sequence: u64,
    heard: Instant,
    leaving: bool,
    networks: Option<Vec<Network>>,
}

/// What a message tells about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is no node of the cluster, or the message was seen before: to be ignored.
    Ignored,
    /// It goes on as before.
    Known,
    /// It was not alive before, as far as we knew.
    Appeared,
    /// It was started anew: it has forgotten what it owned.
    Restarted,
}

/// All other speakers that were ever heard.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    heard: BTreeMap<NodeName, Peer>,
}

impl Peers {
    /// Takes in that a message came, before its content is looked at. Messages that were recorded and are sent again carry a number that
    /// was used before.
    pub fn hear(&mut self, now: Instant, facts: &Facts, from: &NodeName, boot: u64, sequence: u64) -> Heard {
        if !facts.nodes.contains_key(from) {
            return Heard::Ignored;
        }
        let fresh = Peer {
            boot,
            sequence,
            heard: now,
            leaving: false,
            networks: None,
        };
        let Some(peer) = self.heard.get_mut(from) else {
            self.heard.insert(from.clone(), fresh);
            return Heard::Restarted;
        };
        if (boot, sequence) <= (peer.boot, peer.sequence) {
            return Heard::Ignored;
        }
        if boot > peer.boot {
            // Its networks are most likely what they were; it is about to say so.
            *peer = Peer {
                networks: peer.networks.take(),
                ..fresh
            };
            return Heard::Restarted;
        }
        let was_alive = is_alive(peer, now);
        peer.sequence = sequence;
        peer.heard = now;
        if was_alive { Heard::Known } else { Heard::Appeared }
    }

    /// Takes in the networks of a speaker. Gives back whether they are others than before.
    pub fn set_networks(&mut self, from: &NodeName, networks: Vec<Network>) -> bool {
        let Some(peer) = self.heard.get_mut(from) else {
            return false;
        };
        let changed = peer.networks.as_ref() != Some(&networks);
        peer.networks = Some(networks);
        changed
    }

    /// Takes in that a speaker is about to end.
    pub fn leaving(&mut self, from: &NodeName) {
        if let Some(peer) = self.heard.get_mut(from) {
            peer.leaving = true;
        }
    }

    /// Whether a speaker is alive and stays.
    #[must_use]
    pub fn stays(&self, node: &NodeName, now: Instant) -> bool {
        self.heard
            .get(node)
            .is_some_and(|peer| is_alive(peer, now) && !peer.leaving)
    }

    /// Whether a speaker is alive.
    #[must_use]
    pub fn lives(&self, node: &NodeName, now: Instant) -> bool {
        self.heard.get(node).is_some_and(|peer| is_alive(peer, now))
    }

    /// The networks of every speaker that is alive and stays.
    pub fn networks(&self, now: Instant) -> impl Iterator<Item = (&NodeName, &Vec<Network>)> {
        let staying = self
            .heard
            .iter()
            .filter(move |(_, peer)| is_alive(peer, now) && !peer.leaving);
        staying.filter_map(|(node, peer)| Some((node, peer.networks.as_ref()?)))
    }

    /// When the next one that is alive will be dead unless it is heard.
    #[must_use]
    pub fn next_death(&self, now: Instant) -> Option<Instant> {
        self.heard
            .values()
            .map(|peer| peer.heard + DEAD_AFTER)
            .filter(|death| *death > now)
            .min()
    }

    /// This process did not run for `pause`: what came meanwhile is still unread, so nobody is to be called dead for it.
    pub fn excuse(&mut self, now: Instant, pause: Duration) {
        for peer in self.heard.values_mut() {
            peer.heard = now.min(peer.heard + pause);
        }
    }

    /// Forgets the speakers of nodes that are no longer in the cluster.
    pub fn retain(&mut self, facts: &Facts) {
        self.heard.retain(|node, _| facts.nodes.contains_key(node));
    }
}

fn is_alive(peer: &Peer, now: Instant) -> bool {
    now < peer.heard + DEAD_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::facts::Node;

    #[test]
    fn replayed_messages_and_strangers_are_ignored_and_a_restart_is_noticed() {
        let start = lodestone_daemon::clock::now();
        let node: NodeName = "b".into();
        let facts = Facts {
            nodes: BTreeMap::from([(node.clone(), Node::default())]),
            ..Facts::default()
        };
        let mut peers = Peers::default();
        let mut hear = |after: u64, from: &str, boot, sequence| {
            peers.hear(
                start + Duration::from_millis(after),
                &facts,
                &from.into(),
                boot,
                sequence,
            )
        };
        assert_eq!(hear(0, "stranger", 1, 1), Heard::Ignored);
        assert_eq!(hear(0, "b", 5, 1), Heard::Restarted);
        assert_eq!(hear(0, "b", 5, 2), Heard::Known);
        assert_eq!(hear(0, "b", 5, 2), Heard::Ignored);
        assert_eq!(hear(0, "b", 4, 9), Heard::Ignored);
        assert_eq!(hear(5000, "b", 5, 3), Heard::Appeared);
        assert_eq!(hear(5000, "b", 6, 1), Heard::Restarted);
    }

    #[test]
    fn a_pause_of_our_own_kills_nobody() {
        let start = lodestone_daemon::clock::now();
        let node: NodeName = "b".into();
        let facts = Facts {
            nodes: BTreeMap::from([(node.clone(), Node::default())]),
            ..Facts::default()
        };
        let mut peers = Peers::default();
        peers.hear(start, &facts, &node, 1, 1);
        let late = start + Duration::from_secs(10);
        assert!(!peers.lives(&node, late));
        peers.excuse(late, Duration::from_millis(9900));
        assert!(peers.lives(&node, late));
        assert_eq!(
            peers.next_death(late),
            Some(start + Duration::from_millis(9900) + DEAD_AFTER)
        );
    }
}
