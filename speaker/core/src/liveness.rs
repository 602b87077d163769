//! Liveness: which peers are alive, and whether those that are not heard answer on the LAN.
//!
//! A heartbeat arrives every 50 ms from each node that this one watches ([`watch_ring`]). How long
//! it may be late is learned for each path ([`adaptive_timeout`]). A suspect gets requests on the
//! LAN (`reachability_requests`, [`reachability`]) before anybody takes over from it. Which
//! interfaces share a segment follows from what was heard (`segments`). `findings` puts together
//! what the answers prove. The states of a peer are in `peers`.

pub(crate) mod adaptive_timeout;
mod check_targets;
mod failure_detector;
mod findings;
mod isolation;
pub(crate) mod peers;
pub(crate) mod reachability;
mod reachability_requests;
mod segments;
mod unwatched;
mod view;
pub(crate) mod watch_ring;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

pub(crate) use check_targets::CheckTargets;
pub(crate) use failure_detector::Review;
use peers::{Arrival, Path, Peers, Sighting};
use reachability::Isolation;
pub(crate) use reachability_requests::AddressUser;
pub(crate) use view::{Surroundings, View};
use watch_ring::WatchRing;

use crate::{
    cluster_snapshot::ClusterSnapshot,
    context::{Context, Turn},
    timers::Timer,
    types::{InterfaceIndex, NodeName},
    wire::message::Network,
};

/// How soon a newly watched peer gets its first request, to learn whether it answers at all.
const FIRST_BASELINE: Duration = Duration::from_millis(300);

/// What this node knows of the liveness of its peers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Liveness {
    peers: Peers,
    ring: WatchRing,
    /// Requests sent so far: each asks for another address of the suspect.
    requests: usize,
    /// The own interfaces on which this node may be isolated.
    isolation: BTreeMap<InterfaceIndex, Isolation>,
    /// When this node last broadcast that it is alive.
    last_refutation: Option<Instant>,
}

impl Liveness {
    pub(crate) const fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The period of anti-entropy in this cluster.
    pub(crate) const fn cycle(&self) -> Duration {
        self.peers.cycle()
    }

    /// The same peers with what this node sees around it.
    pub(crate) const fn view<'a>(&'a self, now: Instant, context: &'a Context, around: Surroundings<'a>) -> View<'a> {
        View {
            now,
            context,
            around,
            liveness: self,
        }
    }

    /// Builds the ring of all nodes and peers.
    pub(crate) fn rebuild_ring(&mut self, context: &Context) {
        let nodes = context.snapshot.iter().flat_map(|snapshot| snapshot.nodes.keys());
        self.ring = WatchRing::new(nodes.chain(self.peers.nodes()).chain([&context.me]));
        self.peers.set_cluster_size(self.ring.len());
    }

    /// Forgets nodes that have left the cluster.
    pub(crate) fn retain(&mut self, turn: &mut Turn<'_>, snapshot: &ClusterSnapshot) {
        self.peers.retain(turn.now, snapshot);
        self.arm_checks(turn);
    }

    /// Excuses a pause of this process: no peer is suspect for it.
    pub(crate) fn excuse_pause(&mut self, now: Instant, pause: Duration) {
        self.peers.excuse_pause(now, pause);
    }

    /// Records that a message arrived, before its content is read.
    pub(crate) fn handle_arrival(&mut self, now: Instant, from: &NodeName, arrival: &Arrival) -> Sighting {
        self.peers.hear(now, from, arrival)
    }

    /// Records a heartbeat.
    pub(crate) fn handle_heartbeat(&mut self, turn: &mut Turn<'_>, from: &NodeName, path: Path) {
        if !self.peers.watches(from) {
            turn.timers
                .set_earlier(Timer::ReachabilityBaseline, turn.now + FIRST_BASELINE);
        }
        self.peers.note_heartbeat(turn.now, from, path);
    }

    /// Expects no more heartbeats from a peer.
    pub(crate) fn handle_unwatch(&mut self, from: &NodeName) {
        self.peers.unwatch(from);
    }

    /// Records the networks of a peer. Returns whether they changed.
    pub(crate) fn handle_networks(&mut self, from: &NodeName, networks: Vec<Network>) -> bool {
        self.peers.set_networks(from, networks)
    }

    /// Records a watcher's warning that `node` is suspect.
    pub(crate) fn handle_suspicion(&mut self, now: Instant, node: &NodeName) {
        self.peers.note_suspicion(now, node);
    }

    /// Records that `reporter` declares another node failed everywhere. Returns whether the report
    /// counts.
    pub(crate) fn handle_failure_report(&mut self, now: Instant, reporter: &NodeName, node: &NodeName) -> bool {
        // A report does not overrule what this node hears itself.
        let counts = !(self.peers.watches(node) && self.peers.phase(node, now) == Some(peers::Phase::Alive));
        if counts {
            self.peers.note_failure_report(now, node, reporter, None);
        }
        counts
    }

    /// Records that `reporter` declares another node failed on these of its networks. Returns
    /// whether the report counts.
    pub(crate) fn handle_network_report(
        &mut self,
        turn: &mut Turn<'_>,
        around: Surroundings<'_>,
        (reporter, node): (&NodeName, &NodeName),
        networks: peers::NetworkNames,
    ) -> bool {
        let view = self.view(turn.now, turn.context, around);
        let credible = view.credible(reporter, node, networks);
        if credible.is_empty() {
            return false;
        }
        self.peers.note_failure_report(turn.now, node, reporter, Some(credible));
        self.find_unwatched_on_paths(turn, around);
        turn.request_review();
        true
    }

    /// Watches a peer on the segments that this node shares with it, and no others. Returns its
    /// addresses there.
    pub(crate) fn follow_segments(
        &mut self,
        turn: &mut Turn<'_>,
        around: Surroundings<'_>,
        node: &NodeName,
    ) -> BTreeSet<IpAddr> {
        let addresses = self.view(turn.now, turn.context, around).segment_addresses(node);
        self.peers
            .retain_segments(node, |interface| addresses.contains_key(&interface));
        addresses.into_values().collect()
    }

    /// Records that `reporter` hears `node` again.
    pub(crate) fn handle_recovery_report(&mut self, reporter: &NodeName, node: &NodeName) {
        self.peers.drop_report(node, reporter);
    }

    /// Records that a node answered "port unreachable". Returns whether that is news.
    pub(crate) fn handle_port_unreachable(&mut self, now: Instant, node: &NodeName) -> bool {
        self.peers.note_port_unreachable(now, node)
    }

    /// Records that a peer shuts down. Returns whether that is news.
    pub(crate) fn handle_leaving(&mut self, now: Instant, from: &NodeName, handover: bool) -> bool {
        self.peers.set_leaving(now, from, handover)
    }

    /// Records that a peer has sent all its claims. Returns whether they were awaited.
    pub(crate) fn handle_claims_complete(&mut self, from: &NodeName) -> bool {
        self.peers.note_claims_complete(from)
    }

    /// Replaces the reachability checks of a node by one that has got further.
    #[cfg(test)]
    pub(crate) fn replace_check(&mut self, node: &NodeName, check: &reachability::ReachabilityCheck) {
        let conclusion = self.peers.conclusion_mut(node);
        for (interface, segment) in &mut conclusion.checks {
            conclusion.answered.extend(*interface);
            segment.check = check.clone();
        }
    }

    /// The InternalIP of every other node and peer, where it is known.
    pub(crate) fn destinations(&self, context: &Context) -> BTreeMap<NodeName, Option<IpAddr>> {
        let snapshot = context.snapshot.as_deref();
        let nodes = snapshot.into_iter().flat_map(|snapshot| snapshot.nodes.keys());
        let others = nodes.chain(self.peers.nodes()).filter(|node| **node != context.me);
        others
            .map(|node| (node.clone(), snapshot.and_then(|snapshot| snapshot.node_address(node))))
            .collect()
    }
}

#[cfg(test)]
mod tests;
