//! What a speaker tells of itself.

use std::time::Instant;

use serde_json::json;

use super::Speaker;
use crate::core::eligibility::verdicts;

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
                let mine = self.owned.contains_key(address);
                (
                    address.to_string(),
                    json!({"services": services, "claimedBy": owner, "announcedHere": mine, "nodes": nodes}),
                )
            })
            .collect();
        let peers: Vec<&str> = facts
            .nodes
            .keys()
            .filter(|node| self.peers.lives(node, now))
            .map(|node| &**node)
            .collect();
        json!({
            "node": &*self.me, "listening": self.listening, "leaving": self.leaving, "peersAlive": peers,
            "interfaces": self.interfaces, "addresses": addresses,
        })
    }
}
