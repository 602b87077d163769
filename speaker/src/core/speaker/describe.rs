//! What a speaker tells of itself.

use std::{collections::BTreeMap, time::Instant};

use serde_json::json;

use super::Speaker;
use crate::core::{eligibility::verdicts, peers::Phase};

impl Speaker {
    /// What is known and why things are as they are, for `/debug/state`.
    #[must_use]
    pub fn describe(&self, now: Instant) -> serde_json::Value {
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
