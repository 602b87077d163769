//! Questions about the records of peers. None of them changes anything.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    Peers,
    session::{Leaving, Path, Phase, Session, WatchedPath},
};
use crate::{types::NodeName, wire::message::Network};

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
        let watched = self.sessions().filter(|(_, session)| session.decisive_path().expected);
        watched.map(|(node, _)| node.clone()).collect()
    }

    /// Whether a peer is heard, but not on its LAN.
    pub(crate) fn is_cut_off_from_lan(&self, node: &NodeName, now: Instant) -> bool {
        let failed = |path: &WatchedPath| path.phase(now).is_failed();
        self.session(node)
            .is_some_and(|session| session.lan.expected && failed(&session.lan) && !failed(&session.node))
    }

    /// Whether a peer is heard on its LAN, but not on the node network.
    pub(crate) fn is_heard_on_lan_only(&self, node: &NodeName, now: Instant) -> bool {
        let failed = |path: &WatchedPath| path.phase(now).is_failed();
        self.session(node)
            .is_some_and(|session| session.lan.expected && !failed(&session.lan) && failed(&session.node))
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

    /// The number of nodes that declare a peer failed, this one included.
    pub(crate) fn failure_reports(&self, node: &NodeName, now: Instant) -> usize {
        self.session(node).map_or(0, |session| {
            let path = session.decisive_path();
            let by_us = path.expected && path.phase(now).is_failed();
            session.reports(now).count() + usize::from(by_us)
        })
    }

    /// Where a peer was last heard from.
    pub(crate) fn address(&self, node: &NodeName) -> Option<IpAddr> {
        self.session(node).map(|session| session.address)
    }

    /// The networks with carrier of a peer's last Hello, whether the peer is alive or not.
    pub(crate) fn networks_of(&self, node: &NodeName) -> &[Network] {
        self.session(node)
            .map(|session| session.connected.as_slice())
            .unwrap_or_default()
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

    /// The phase of a peer on one path, if heartbeats come over it.
    pub(crate) fn phase_on(&self, node: &NodeName, now: Instant, path: Path) -> Option<Phase> {
        let session = self.session(node)?;
        Some(match path {
            Path::Node if session.lan.expected && session.node.expected => session.node.phase(now),
            _ => session.phase(now, self.cycle),
        })
    }

    /// Whether a peer is heard on any path.
    pub(crate) fn is_heard(&self, node: &NodeName, now: Instant) -> bool {
        self.session(node)
            .is_some_and(|session| session.is_heard(now, self.cycle))
    }

    /// Whether a peer is heard where it announces and does not shut down: it can take an address.
    pub(crate) fn is_available(&self, node: &NodeName, now: Instant) -> bool {
        self.session(node)
            .is_some_and(|session| session.leaving.is_none() && !session.phase(now, self.cycle).is_failed())
    }

    /// All networks, with and without carrier, of every available peer.
    pub(crate) fn available_networks(&self, now: Instant) -> impl Iterator<Item = (&NodeName, &Vec<Network>)> {
        self.sessions()
            .filter(move |(node, _)| self.is_available(node, now))
            .filter_map(|(node, session)| Some((node, session.networks.as_ref()?)))
    }

    /// The share of messages lost from a peer to this node, from 0 to 1. For an unwatched peer it
    /// is the highest share of all watched ones.
    pub(crate) fn loss(&self, node: &NodeName) -> f64 {
        let watched = |session: &&Session| session.decisive_path().expected;
        let loss = |session: &Session| session.decisive_path().timeout.loss();
        let own = self.session(node).filter(watched).map(loss);
        own.unwrap_or_else(|| {
            let sessions = self.sessions().map(|(_, session)| session);
            sessions.filter(watched).map(loss).fold(0.0, f64::max)
        })
    }

    /// Whether this node watches a peer.
    pub(crate) fn watches(&self, node: &NodeName) -> bool {
        self.session(node)
            .is_some_and(|session| session.decisive_path().expected)
    }

    /// When the next peer becomes suspect or failed, unless it is heard before.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        let of = |session: &Session| {
            let paths = [&session.node, &session.lan].into_iter().filter(|path| path.expected);
            paths
                .flat_map(|path| [path.timeout.suspect_from(), path.timeout.failed_from()])
                .filter(|at| *at > now)
                .min()
        };
        self.sessions().filter_map(|(_, session)| of(session)).min()
    }
}
