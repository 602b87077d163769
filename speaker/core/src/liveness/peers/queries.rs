//! Questions about the records of peers. None of them changes anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    Peers,
    session::{Leaving, Path, Phase, Session},
};
use crate::{liveness::adaptive_timeout::AdaptiveTimeout, types::NodeName, wire::message::Network};

impl Peers {
    /// The period of anti-entropy in this cluster.
    pub(crate) const fn cycle(&self) -> Duration {
        self.cycle
    }

    /// All peers that were heard.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.sessions().map(|(node, _)| node)
    }

    /// The peers that this node watches.
    pub(crate) fn watched(&self) -> Vec<NodeName> {
        let watched = self.sessions().filter(|(_, session)| !session.paths.is_empty());
        watched.map(|(node, _)| node.clone()).collect()
    }

    /// The phase on each path on which this node watches a peer.
    pub(crate) fn path_phases(&self, node: &NodeName, now: Instant) -> BTreeMap<Path, Phase> {
        let session = self.session(node);
        let paths = session.into_iter().flat_map(|session| session.paths.keys());
        paths
            .filter_map(|path| Some((*path, self.phase_on(node, now, *path)?)))
            .collect()
    }

    /// Whether a peer has failed on some of its networks.
    pub(crate) fn has_failed_somewhere(&self, node: &NodeName, now: Instant) -> bool {
        let session = self.session(node);
        session.is_some_and(|session| {
            let mut phases = session.paths.keys().filter_map(|path| session.phase_on(now, *path));
            phases.any(Phase::is_failed) || session.has_network_report(now) || !session.unwatched_on.is_empty()
        })
    }

    /// Whether a peer has ever sent a Hello.
    pub(crate) fn has_sent_hello(&self, node: &NodeName) -> bool {
        self.session(node).is_some_and(|session| session.networks.is_some())
    }

    /// Whether the node answered "port unreachable" since its peer was last heard.
    pub(crate) fn is_port_unreachable(&self, node: &NodeName) -> bool {
        self.session(node).is_some_and(|session| session.port_unreachable)
    }

    /// Whether all watchers of a peer have failed, and nothing was heard of it since.
    pub(crate) fn is_unwatched(&self, node: &NodeName) -> bool {
        self.session(node).is_some_and(|session| session.unwatched.is_some())
    }

    /// Whether nobody whom this node hears on a path watches a peer there.
    pub(crate) fn is_unwatched_on(&self, node: &NodeName, path: Path) -> bool {
        let session = self.session(node);
        session.is_some_and(|session| session.unwatched_on.contains_key(&path))
    }

    /// The paths on which this node watches peers.
    pub(crate) fn watched_paths(&self) -> BTreeSet<Path> {
        let paths = self.sessions().flat_map(|(_, session)| session.paths.keys());
        paths.copied().collect()
    }

    /// The number of nodes that declare a peer failed, this one included. `network` names one of
    /// its networks, which `path` leads to; otherwise it has to have failed everywhere.
    pub(crate) fn failure_reports(
        &self,
        node: &NodeName,
        now: Instant,
        network: Option<(Option<Path>, &str)>,
    ) -> usize {
        self.session(node).map_or(0, |session| {
            let on_path = |path| session.phase_on(now, path).is_some_and(Phase::is_failed);
            let by_us = match network {
                Some((Some(path), _)) => on_path(path),
                _ => !session.paths.is_empty() && session.phase(now, self.cycle).is_failed(),
            };
            session.reports(now, network.map(|(_, name)| name)).count() + usize::from(by_us)
        })
    }

    /// Where a peer was last heard from.
    pub(crate) fn address(&self, node: &NodeName) -> Option<IpAddr> {
        self.session(node).map(|session| session.address)
    }

    /// The networks with carrier of a peer's last Hello, whether the peer is alive or not.
    pub(crate) fn networks_of(&self, node: &NodeName) -> &[Network] {
        self.session(node)
            .map(|session| session.usable.as_slice())
            .unwrap_or_default()
    }

    /// The same with those that lack a carrier.
    pub(crate) fn all_networks_of(&self, node: &NodeName) -> &[Network] {
        let networks = self.session(node).and_then(|session| session.networks.as_deref());
        networks.unwrap_or_default()
    }

    /// Whether a peer has announced its shutdown.
    pub(crate) fn leaving(&self, node: &NodeName) -> Option<Leaving> {
        self.session(node)?.leaving
    }

    /// Since when a restarted peer has not sent all its claims.
    pub(crate) fn awaiting_claims_since(&self, node: &NodeName) -> Option<Instant> {
        self.session(node)?.awaiting_claims
    }

    /// The phase of a peer; `None` if it was never heard.
    pub(crate) fn phase(&self, node: &NodeName, now: Instant) -> Option<Phase> {
        Some(self.session(node)?.phase(now, self.cycle))
    }

    /// The phase of a peer on a path that this node watches.
    pub(crate) fn phase_on(&self, node: &NodeName, now: Instant, path: Path) -> Option<Phase> {
        self.session(node)?.phase_on(now, path)
    }

    /// The phase of a peer on one of its networks, which `path` leads to. Where nothing is known of
    /// that network, the phase on all paths.
    pub(crate) fn network_phase(
        &self,
        node: &NodeName,
        now: Instant,
        path: Option<Path>,
        network: &str,
    ) -> Option<Phase> {
        let session = self.session(node)?;
        let known = session.network_phase(now, path, network);
        Some(known.unwrap_or_else(|| session.phase(now, self.cycle)))
    }

    /// Whether a peer is heard on any path.
    pub(crate) fn is_heard(&self, node: &NodeName, now: Instant) -> bool {
        self.phase(node, now).is_some_and(|phase| !phase.is_failed())
    }

    /// Whether a peer is heard and does not shut down: it can take addresses of the networks on
    /// which it has not failed.
    pub(crate) fn is_available(&self, node: &NodeName, now: Instant) -> bool {
        self.leaving(node).is_none() && self.is_heard(node, now)
    }

    /// All networks, with and without carrier, of every available peer.
    pub(crate) fn available_networks(&self, now: Instant) -> impl Iterator<Item = (&NodeName, &Vec<Network>)> {
        self.sessions()
            .filter(move |(node, _)| self.is_available(node, now))
            .filter_map(|(node, session)| Some((node, session.networks.as_ref()?)))
    }

    /// The share of messages lost from a peer to this node, from 0 to 1: the highest of all paths.
    /// For an unwatched peer it is the highest share of all watched ones.
    pub(crate) fn loss(&self, node: &NodeName) -> f64 {
        let highest = |session: &Session| {
            let loss = session.paths.values().map(AdaptiveTimeout::loss);
            loss.reduce(f64::max)
        };
        let own = self.session(node).and_then(highest);
        own.unwrap_or_else(|| {
            let others = self.sessions().filter_map(|(_, session)| highest(session));
            others.fold(0.0, f64::max)
        })
    }

    /// Whether this node watches a peer.
    pub(crate) fn watches(&self, node: &NodeName) -> bool {
        self.session(node).is_some_and(|session| !session.paths.is_empty())
    }

    /// When the next peer becomes suspect or failed on a path, unless it is heard before.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        let timeouts = self.sessions().flat_map(|(_, session)| session.paths.values());
        timeouts
            .flat_map(|timeout| [timeout.suspect_from(), timeout.failed_from()])
            .filter(|at| *at > now)
            .min()
    }
}
