//! What messages and time change in the records of peers.

use std::{
    collections::{BTreeSet, btree_map::Entry},
    time::{Duration, Instant},
};

use super::{
    Arrival, Peers, Sighting, anti_entropy_cycle,
    session::{Leaving, NetworkNames, Path, Session},
};
use crate::{
    cluster_snapshot::ClusterSnapshot,
    liveness::adaptive_timeout::AdaptiveTimeout,
    types::{InterfaceIndex, NodeName},
    wire::message::Network,
};

/// How long a peer counts as watched after it was heard although nobody seemed to watch it.
const SPARED_FOR: Duration = Duration::from_secs(1);

impl Peers {
    /// Records that a message arrived, before its content is read.
    pub(crate) fn hear(&mut self, now: Instant, from: &NodeName, arrival: &Arrival) -> Sighting {
        let cycle = self.cycle;
        let Arrival {
            address,
            path,
            boot,
            sequence,
        } = *arrival;
        let fresh = Session::new(now, address, boot, sequence);
        let record = self.records.entry(from.clone()).or_default();
        let Some(session) = &mut record.session else {
            record.session = Some(fresh);
            return Sighting::Restarted;
        };
        if boot < session.boot {
            return Sighting::Behind(session.boot);
        }
        if boot > session.boot {
            session.restart(fresh);
            return Sighting::Restarted;
        }
        if !session.accept(sequence) {
            return Sighting::Replayed;
        }
        let was_failed = session.phase(now, cycle).is_failed();
        session.note_heard(now, path, address);
        if was_failed && !session.phase(now, cycle).is_failed() {
            Sighting::Appeared
        } else {
            Sighting::Known
        }
    }

    /// Records a heartbeat: from now on more are expected on this path.
    pub(crate) fn note_heartbeat(&mut self, now: Instant, from: &NodeName, path: Path) {
        let Some(session) = self.session_mut(from).filter(|_| path != Path::Other) else {
            return;
        };
        match session.paths.entry(path) {
            Entry::Occupied(timeout) => timeout.into_mut().note_heartbeat(now),
            Entry::Vacant(place) => {
                place.insert(AdaptiveTimeout::new(now));
            }
        }
    }

    /// Expects no more heartbeats from a peer.
    pub(crate) fn unwatch(&mut self, from: &NodeName) {
        if let Some(session) = self.session_mut(from) {
            session.paths.clear();
        }
    }

    /// Expects no more heartbeats on segments that do not meet the condition.
    pub(crate) fn retain_segments(&mut self, node: &NodeName, is_shared: impl Fn(InterfaceIndex) -> bool) {
        if let Some(session) = self.session_mut(node) {
            session.paths.retain(|path, _| match path {
                Path::Segment(interface) => is_shared(*interface),
                Path::Node | Path::Other => true,
            });
        }
    }

    /// Records that `reporter` declares `node` failed: on these networks, or everywhere.
    pub(crate) fn note_failure_report(
        &mut self,
        now: Instant,
        node: &NodeName,
        reporter: &NodeName,
        networks: Option<NetworkNames>,
    ) {
        if let Some(session) = self.session_mut(node) {
            session.note_report(now, reporter, networks);
        }
    }

    /// Drops all failure reports of `reporter`.
    pub(crate) fn drop_reports_of(&mut self, reporter: &NodeName) {
        for session in self.sessions_mut() {
            session.remove_report(reporter);
        }
    }

    /// Drops the report of `reporter` about `node`.
    pub(crate) fn drop_report(&mut self, node: &NodeName, reporter: &NodeName) {
        if let Some(session) = self.session_mut(node) {
            session.remove_report(reporter);
        }
    }

    /// Records a watcher's warning that `node` is suspect.
    pub(crate) fn note_suspicion(&mut self, now: Instant, node: &NodeName) {
        if let Some(session) = self.session_mut(node) {
            session.suspected_at = Some(now);
        }
    }

    /// Records that the node answered "port unreachable". Returns whether that is news: once
    /// between two messages of the peer, and not of a failed one.
    pub(crate) fn note_port_unreachable(&mut self, now: Instant, node: &NodeName) -> bool {
        let cycle = self.cycle;
        self.session_mut(node).is_some_and(|session| {
            let failed = session.phase(now, cycle).is_failed();
            !failed && !std::mem::replace(&mut session.port_unreachable, true)
        })
    }

    /// Records whether all watchers of `node` have failed, so that its failure would go unreported.
    /// A peer that was heard directly within [`SPARED_FOR`] is exempt. Otherwise each of its
    /// messages would flip its state and trigger a reply.
    pub(crate) fn set_unwatched(&mut self, now: Instant, node: &NodeName, unwatched: bool) {
        if let Some(session) = self.session_mut(node) {
            // mutation: unwatched-peer-not-spared
            session.heard_unwatched = session.heard_unwatched.filter(|heard| now < *heard + SPARED_FOR);
            let counts = unwatched && session.heard_unwatched.is_none();
            session.unwatched = counts.then(|| session.unwatched.unwrap_or(now));
        }
    }

    /// Records on which paths nobody whom this node hears there watches `node`. Returns whether
    /// they changed.
    pub(crate) fn set_unwatched_on(&mut self, now: Instant, node: &NodeName, paths: &BTreeSet<Path>) -> bool {
        let Some(session) = self.session_mut(node) else {
            return false;
        };
        let known = &session.unwatched_on;
        if known.keys().eq(paths) {
            return false;
        }
        let since = paths
            .iter()
            .map(|path| (*path, known.get(path).copied().unwrap_or(now)));
        session.unwatched_on = since.collect();
        true
    }

    /// Records the networks of a Hello. Returns whether they changed.
    pub(crate) fn set_networks(&mut self, from: &NodeName, networks: Vec<Network>) -> bool {
        let Some(session) = self.session_mut(from) else {
            return false;
        };
        let changed = session.networks.as_ref() != Some(&networks);
        session.usable = networks.iter().filter(|network| network.usable).cloned().collect();
        session.networks = Some(networks);
        changed
    }

    /// Records that a peer shuts down. Returns whether that is news.
    pub(crate) fn set_leaving(&mut self, now: Instant, from: &NodeName, handover: bool) -> bool {
        let Some(session) = self.session_mut(from) else {
            return false;
        };
        let is_news = session.leaving.is_none_or(|leaving| leaving.handover != handover);
        if is_news {
            session.leaving = Some(Leaving { since: now, handover });
        }
        is_news
    }

    /// Records that a peer has sent all its claims. Returns whether they were awaited.
    pub(crate) fn note_claims_complete(&mut self, from: &NodeName) -> bool {
        let session = self.session_mut(from);
        session.is_some_and(|session| session.awaiting_claims.take().is_some())
    }

    /// Excuses a pause of this process: messages that arrived meanwhile are still unread, so no
    /// peer is suspect for it.
    pub(crate) fn excuse_pause(&mut self, now: Instant, pause: Duration) {
        for session in self.sessions_mut() {
            session.last_heard = now.min(session.last_heard + pause);
            for timeout in session.paths.values_mut() {
                timeout.excuse_pause(now, pause);
            }
        }
    }

    /// Records the size of the cluster, which decides the period of anti-entropy.
    pub(crate) fn set_cluster_size(&mut self, nodes: usize) {
        self.cycle = anti_entropy_cycle(nodes);
    }

    /// Forgets nodes that have left the cluster and are not heard.
    pub(crate) fn retain(&mut self, now: Instant, snapshot: &ClusterSnapshot) {
        let cycle = self.cycle;
        self.records.retain(|node, record| {
            let session = record.session.as_ref();
            snapshot.nodes.contains_key(node) || session.is_some_and(|session| !session.phase(now, cycle).is_failed())
        });
    }
}
