//! Which speakers are alive: a plain heartbeat between all of them.

use std::{
    collections::BTreeMap,
    net::IpAddr,
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
    address: IpAddr,
    boot: u64,
    sequence: u64,
    heard: Instant,
    leaving: bool,
    networks: Option<Vec<Network>>,
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
}

impl Peers {
    /// Takes in that a message came, before its content is looked at. Messages that were recorded and are sent again carry a number that
    /// was used before.
    pub fn hear(&mut self, now: Instant, from: &NodeName, address: IpAddr, boot: u64, sequence: u64) -> Heard {
        let fresh = Peer {
            address,
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
        if boot < peer.boot {
            return Heard::Behind(peer.boot);
        }
        if boot > peer.boot {
            // Its networks are most likely what they were; it is about to say so.
            *peer = Peer {
                networks: peer.networks.take(),
                ..fresh
            };
            return Heard::Restarted;
        }
        if sequence <= peer.sequence {
            return Heard::Again;
        }
        let was_alive = is_alive(peer, now);
        peer.address = address;
        peer.sequence = sequence;
        peer.heard = now;
        if was_alive { Heard::Known } else { Heard::Appeared }
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

    /// Forgets the speakers that are silent and whose nodes are no longer in the cluster.
    pub fn retain(&mut self, now: Instant, facts: &Facts) {
        self.heard
            .retain(|node, peer| facts.nodes.contains_key(node) || is_alive(peer, now));
    }
}

fn is_alive(peer: &Peer, now: Instant) -> bool {
    now < peer.heard + DEAD_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn replayed_messages_are_ignored_and_a_restart_and_a_clock_that_went_back_are_noticed() {
        let start = lodestone_daemon::clock::now();
        let mut peers = Peers::default();
        let mut hear = |after: u64, boot, sequence| {
            peers.hear(
                start + Duration::from_millis(after),
                &"b".into(),
                ADDRESS,
                boot,
                sequence,
            )
        };
        assert_eq!(hear(0, 5, 1), Heard::Restarted);
        assert_eq!(hear(0, 5, 2), Heard::Known);
        assert_eq!(hear(0, 5, 2), Heard::Again);
        assert_eq!(hear(0, 4, 9), Heard::Behind(5));
        assert_eq!(hear(5000, 5, 3), Heard::Appeared);
        assert_eq!(hear(5000, 6, 1), Heard::Restarted);
    }

    #[test]
    fn a_pause_of_our_own_kills_nobody() {
        let start = lodestone_daemon::clock::now();
        let node: NodeName = "b".into();
        let mut peers = Peers::default();
        peers.hear(start, &node, ADDRESS, 1, 1);
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
