//! Questions about a speaker, for metrics and readiness. None of them changes anything.

use std::{net::IpAddr, time::Instant};

use super::Speaker;
use crate::{
    output::OwnedAddress,
    stats::Stats,
    types::{InterfaceIndex, MacAddr, NodeName},
};

/// What this node knows of another speaker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeerStatus<'a> {
    /// The node of the speaker.
    pub node: &'a NodeName,
    /// Whether it is heard on any path.
    pub is_heard: bool,
    /// The share of its messages that is lost, from 0 to 1; `None` if this node does not watch it.
    pub loss: Option<f64>,
}

impl Speaker {
    /// The node of this speaker.
    #[must_use]
    pub const fn node(&self) -> &NodeName {
        &self.context.me
    }

    /// The addresses that this node announces now.
    pub fn announced_addresses(&self) -> impl Iterator<Item = &OwnedAddress> {
        self.lan.announced()
    }

    /// The MAC that this node answers with, as owner or deputy, when a host asks for an address on
    /// an interface now.
    #[must_use]
    pub fn answer_for(&self, interface: InterfaceIndex, address: IpAddr) -> Option<MacAddr> {
        if self.context.listening {
            return None;
        }
        let (_, mac) = self.lan.answer_after_listening(interface, address)?;
        Some(mac)
    }

    /// Whether the API server has reported the configuration.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.context.snapshot.is_some()
    }

    /// Whether a part of the configuration was refused.
    #[must_use]
    pub fn has_refused_configuration(&self) -> bool {
        let snapshot = self.context.snapshot.as_ref();
        snapshot.is_some_and(|snapshot| !snapshot.config.refused.is_empty())
    }

    /// The number of conflicts with foreign hosts.
    #[must_use]
    pub const fn conflict_count(&self) -> u64 {
        self.lan.conflicts().conflict_count()
    }

    /// All other speakers that were ever heard.
    pub fn peers(&self, now: Instant) -> impl Iterator<Item = PeerStatus<'_>> {
        let peers = self.liveness.peers();
        peers.nodes().map(move |node| PeerStatus {
            node,
            is_heard: peers.is_heard(node, now),
            loss: peers.watches(node).then(|| peers.loss(node)),
        })
    }

    /// The counters since the start.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.sinks.stats
    }
}
