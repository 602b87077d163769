//! What a speaker tells of itself.

use std::{collections::BTreeMap, time::Instant};

use serde_json::json;

use super::{Counts, OwnedAddress, Speaker};
use crate::{
    core::{eligibility::verdicts, peers::Phase},
    wire::message::NodeName,
};

impl Speaker {
    /// The node of this speaker.
    #[must_use]
    pub const fn node(&self) -> &NodeName {
        &self.me
    }

    /// What it announces at this moment.
    pub fn announced(&self) -> impl Iterator<Item = &OwnedAddress> {
        let owned = self.owned.values().map(|announced| &announced.owned);
        owned.filter(|owned| self.probes.is_clear(owned.address))
    }

    /// Whether the API server has told the configuration.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.facts.is_some()
    }

    /// Whether a part of the configuration is not in use because something is wrong with it.
    #[must_use]
    pub fn has_refused_configuration(&self) -> bool {
        self.facts
            .as_ref()
            .is_some_and(|facts| !facts.config.refused.is_empty())
    }

    /// How often a foreign host used an address of this node.
    #[must_use]
    pub const fn conflicts(&self) -> u64 {
        self.probes.conflicts()
    }

    /// All other speakers: whether each is silent, and how much of what it says is lost, where this node watches it.
    pub fn peers(&self, now: Instant) -> impl Iterator<Item = (&NodeName, bool, Option<f64>)> {
        self.peers.nodes().map(move |node| {
            let loss = self.peers.watches(node).then(|| self.peers.loss(node));
            (node, !self.peers.lives(node, now), loss)
        })
    }

    /// What has happened so far, counted.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What is known and why things are as they are, for `/debug/state`.
    #[must_use]
    pub fn debug_state(&self, now: Instant) -> serde_json::Value {
        let Some(facts) = &self.facts else {
            return json!({"waiting": "for the API server"});
        };
        let networks = self.networks(now);
        let addresses: serde_json::Map<_, _> = facts
            .addresses
            .iter()
            .map(|(address, tenants)| {
                let verdicts = verdicts(facts, &networks, *address);
                let nodes: serde_json::Map<_, _> = verdicts
                    .iter()
                    .map(|(node, verdict)| {
                        let text = verdict
                            .as_ref()
                            .map_or_else(ToString::to_string, |_| "may own it".to_owned());
                        (node.to_string(), text.into())
                    })
                    .collect();
                let holder = self.claims.holder(*address);
                let owner = holder.map(|holder| json!({"node": &*holder.node, "epoch": holder.epoch}));
                let services: Vec<String> = tenants.iter().map(|tenant| tenant.service.to_string()).collect();
                let mine = self.owned.contains_key(address) && self.probes.is_clear(*address);
                let taken = self.causes.get(address).map(|(from, cause)| json!({"from": from.as_deref(), "cause": cause.to_string()}));
                let foreign = self.probes.taken_by(*address).map(|mac| mac.to_string());
                (
                    address.to_string(),
                    json!({"services": services, "claimedBy": owner, "announcedHere": mine, "nodes": nodes, "taken": taken, "foreignHost": foreign}),
                )
            })
            .collect();
        let peers: Vec<&str> = facts
            .nodes
            .keys()
            .filter(|node| self.peers.lives(node, now))
            .map(|node| &**node)
            .collect();
        let mut stood_in: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (address, stand_in) in &self.stood_in {
            stood_in.entry(&stand_in.owner).or_default().push(address.to_string());
        }
        let suspects: serde_json::Map<_, _> = self
            .peers
            .nodes()
            .filter(|node| self.peers.phase(node, now) != Some(Phase::Well))
            .map(|node| {
                let text = format!("{:?}", self.found(now, node));
                let by = self.peers.suspected_by(node, now);
                (
                    node.to_string(),
                    json!({"heard": self.peers.lives(node, now), "wire": text, "suspectedBy": by}),
                )
            })
            .collect();
        json!({
            "suspects": suspects,
            "node": &*self.me, "listening": self.listening, "leaving": self.leaving.is_some(), "peersAlive": peers, "standsInFor": stood_in,
            "interfaces": self.interfaces, "addresses": addresses,
        })
    }
}
