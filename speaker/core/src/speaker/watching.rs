//! Who is late, silent, or heard again, and who is told of it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{Output, Speaker};
use crate::{
    core::{facts::ClusterSnapshot, peers::Phase, speaker::Event},
    wire::message::{Message, NodeName},
};

/// How often a suspicion is told, and after what time again: a message may be lost.
const TELLINGS: u32 = 3;
const RETELL: Duration = Duration::from_millis(100);
const AGAIN: Duration = Duration::from_secs(1);

/// How long it takes at least, beyond a millisecond for each node, until this node says once more that it lives.
const REFUTES: Duration = Duration::from_millis(100);

impl Speaker {
    /// Looks at everybody that is watched.
    pub(super) fn watch(&mut self, now: Instant) {
        let watched: Vec<NodeName> = self
            .peers
            .nodes()
            .filter(|node| self.peers.watches(node))
            .cloned()
            .collect();
        for node in watched {
            self.notice(now, &node);
        }
        let again: Vec<NodeName> = self
            .retell
            .iter()
            .filter(|(_, (_, at))| *at <= now)
            .map(|(node, _)| node.clone())
            .collect();
        for node in again {
            self.tell_suspicion(now, &node);
        }
        self.expect(now);
    }

    /// Says when somebody is to be looked at again, unless something is heard before.
    pub(super) fn expect(&mut self, now: Instant) {
        let retell = self.retell.values().map(|(_, at)| *at).min();
        self.next_liveness = [self.peers.next_change(now), retell].into_iter().flatten().min();
    }

    /// Looks at one, and takes in what has changed.
    pub(super) fn notice(&mut self, now: Instant, node: &NodeName) {
        let phase = self.peers.phase(node, now).unwrap_or(Phase::Well);
        let before = self.phases.insert(node.clone(), phase).unwrap_or(Phase::Well);
        let watched = self.peers.watches(node);
        // Of two ways the one that addresses are announced on decides how it seems; who tells of others is heard by either.
        let changed = if self.peers.lives(node, now) {
            self.unheard.remove(node)
        } else {
            self.unheard.insert(node.clone())
        };
        if changed {
            self.soon(now);
            self.find_unwatched(now);
        }
        if before == phase {
            return;
        }
        self.soon(now);
        match phase {
            Phase::Well => {
                self.retell.remove(node);
                if watched && matches!(before, Phase::Suspected(_)) {
                    self.tell_everybody(&Message::Hears(node.clone()));
                }
            }
            Phase::Doubted => {
                self.counts.doubts = self.counts.doubts.saturating_add(u64::from(watched));
                // In a small cluster everybody sees it; but who is told that nobody listens knows it before the others.
                if self.peers.is_refused(node) || (watched && !self.ring.is_small()) {
                    self.tell_deputies(now, node);
                }
            }
            Phase::Suspected(_) => {
                if watched && !matches!(before, Phase::Suspected(_)) {
                    self.counts.suspicions = self.counts.suspicions.saturating_add(1);
                    self.retell.insert(node.clone(), (TELLINGS, now));
                    self.tell_suspicion(now, node);
                }
            }
        }
        let was_silent = matches!(before, Phase::Suspected(_));
        let silent = matches!(phase, Phase::Suspected(_));
        if was_silent != silent {
            self.find_unwatched(now);
            if silent {
                // It may be the one that is cut off, and all others seem silent to it.
                self.peers.forget_teller(node);
            }
            self.outputs.push_back(Output::Event(Event::Peer {
                node: node.clone(),
                silent,
            }));
        }
    }

    /// Forgets what was noticed of those that have left the cluster and are not heard.
    pub(super) fn forget_gone(&mut self, facts: &ClusterSnapshot) {
        let known = |node: &NodeName| facts.nodes.contains_key(node) || self.peers.knows(node);
        self.phases.retain(|node, _| known(node));
        self.retell.retain(|node, _| known(node));
        self.checks.retain(|node, _| known(node));
        for noticed in [
            &mut self.unheard,
            &mut self.on_wire,
            &mut self.watchers,
            &mut self.only_on_lan,
            &mut self.answered,
        ] {
            noticed.retain(known);
        }
    }

    /// Looks for nodes of whom nobody would tell that they are silent, since those who watch them are silent, too: as in a partition.
    fn find_unwatched(&mut self, now: Instant) {
        if self.ring.is_small() {
            return;
        }
        let others: BTreeSet<NodeName> = self.peers.nodes().cloned().collect();
        // Of those that this node watches it knows itself; of the others it would be told by one of whom it would be told itself.
        let heard = |node: &&NodeName| self.peers.watches(node) && self.peers.lives(node, now);
        let mut known: BTreeSet<NodeName> = others.iter().filter(heard).cloned().chain([self.me.clone()]).collect();
        loop {
            let told = |node: &&NodeName| {
                // One that this node does not watch, though the ring says so, it can't tell itself of.
                let watchers = self.ring.watchers(node, |_| false).into_iter();
                let mut watchers = watchers.filter(|watcher| **watcher != self.me);
                let new = !known.contains(*node) && !self.peers.watches(node);
                new && self.peers.suspected_by(node, now) == 0 && watchers.any(|watcher| known.contains(watcher))
            };
            let more: Vec<NodeName> = others.iter().filter(told).cloned().collect();
            if more.is_empty() {
                break;
            }
            known.extend(more);
        }
        for node in others
            .into_iter()
            .filter(|node| !self.peers.watches(node))
            .collect::<Vec<_>>()
        {
            self.peers.set_unwatched(now, &node, !known.contains(&node));
            let phase = self.peers.phase(&node, now).unwrap_or(Phase::Well);
            if self.phases.insert(node, phase) != Some(phase) {
                self.soon(now);
            }
        }
    }

    fn tell_suspicion(&mut self, now: Instant, node: &NodeName) {
        let on_lan = self.peers.is_cut_off(node, now);
        let Some((times, at)) = self.retell.get_mut(node) else {
            return;
        };
        *times = times.saturating_sub(1);
        // Of one that is silent only where it announces, the others hear otherwise: they are told for as long as that lasts.
        *at = now + if *times == 0 { AGAIN } else { RETELL };
        if *times == 0 && !on_lan {
            self.retell.remove(node);
        }
        let node = node.clone();
        self.tell_everybody(&Message::Suspect { node, on_lan });
    }

    /// Somebody has taken us for dead: everybody is to hear that we are not. Many may have at once, and one answer is enough for all.
    pub(super) fn refute(&mut self, now: Instant) {
        let others = u32::try_from(self.ring.len()).unwrap_or(u32::MAX);
        let pause = REFUTES + Duration::from_millis(1) * others;
        if let Some(due) = self.refuted.map(|last| last + pause).filter(|due| now < *due) {
            self.refute_due.get_or_insert(due);
            return;
        }
        (self.refuted, self.refute_due) = (Some(now), None);
        self.greet();
        if !self.listening {
            for message in self.own_claims() {
                self.tell_everybody(&message);
            }
        }
    }
}
