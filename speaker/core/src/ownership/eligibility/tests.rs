//! One file per reason that decides. This one has what they share.

mod advertisements;
mod endpoints;
mod networks;
mod nodes;

use std::sync::Arc;

use lodestone_crds::ObjectKey;
use serde_json::{Value, json};

use super::*;
use crate::{
    cluster_snapshot::Endpoints,
    testing::{ADDRESS, config},
    types::MacAddr,
};

fn service() -> ServiceOnAddress {
    ServiceOnAddress {
        service: ObjectKey::new("n", "a"),
        labels: BTreeMap::new(),
        local: false,
        shares: false,
        pool: None,
        endpoints: Arc::new(Endpoints {
            nodes: BTreeSet::from(["a".into()]),
            ..Endpoints::default()
        }),
    }
}

fn snapshot(advertisements: &[Value], services: Vec<ServiceOnAddress>) -> ClusterSnapshot {
    let node = |name: &str| {
        let labels = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        (
            NodeName::from(name),
            Node {
                labels,
                ..Node::default()
            },
        )
    };
    ClusterSnapshot {
        nodes: ["a", "b", "c"].map(node).into_iter().collect(),
        addresses: BTreeMap::from([(ADDRESS.parse().unwrap(), Arc::new(services))]),
        config: Arc::new(config(advertisements)),
        ..ClusterSnapshot::default()
    }
}

fn network(interface: &str, prefixes: &[&str]) -> Network {
    Network {
        interface: interface.to_owned(),
        mac: MacAddr::zero(),
        addresses: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
        usable: true,
    }
}

/// Every node has a speaker, on an interface without addresses.
fn speakers_everywhere() -> BTreeMap<NodeName, Vec<Network>> {
    ["a", "b", "c"]
        .map(|name| (name.into(), vec![network("eth0", &[])]))
        .into_iter()
        .collect()
}

/// These networks, on which no node has failed.
fn known(networks: &BTreeMap<NodeName, Vec<Network>>) -> KnownNetworks {
    KnownNetworks {
        networks: networks.clone(),
        failed: BTreeMap::new(),
    }
}

/// `ok`, or the reason.
fn verdict_text(verdict: &Result<Eligibility, IneligibilityReason>) -> String {
    match verdict {
        Ok(_) => "ok".to_owned(),
        Err(reason) => format!("{reason:?}"),
    }
}

fn verdict_texts(snapshot: &ClusterSnapshot, networks: &BTreeMap<NodeName, Vec<Network>>) -> Vec<String> {
    let verdicts = verdicts(snapshot, &known(networks), ADDRESS.parse().unwrap());
    verdicts.values().map(verdict_text).collect()
}
