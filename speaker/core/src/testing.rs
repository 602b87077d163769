//! Fixtures for unit tests, the simulator and the fuzz targets: a cluster, an interface, a Service
//! and a speaker.
//!
//! Other crates enable the feature `testing` to use them.
#![expect(clippy::unwrap_used, reason = "fixtures are constants; a wrong one is a broken test")]

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use lodestone_crds::{Config, IPAddressPool, L2Advertisement, Labels, ObjectKey, Resources};
use serde_json::{Value, json};

use crate::{
    cluster_snapshot::{ClusterSnapshot, Endpoints, Node, ServiceOnAddress},
    node::interface::Interface,
    settings::Settings,
    speaker::Speaker,
    types::{InterfaceIndex, MacAddr, NodeName},
    wire::arp,
};

/// The address that an [`announcing_speaker`] announces.
pub const ADDRESS: &str = "192.0.2.1";

/// The prefixes of the pool in [`config`].
const POOL: [&str; 2] = ["192.0.2.0/24", "2001:db8::/120"];

/// The moment at which a test begins. A test counts all other moments from it, and so does not
/// depend on the clock.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the only origin of time in tests of this crate"
)]
pub fn start() -> Instant {
    Instant::now()
}

/// A configuration of one IPAddressPool with these ranges, and one L2Advertisement for each spec in
/// `advertisements`.
#[must_use]
pub fn config_of(ranges: &[&str], advertisements: &[Value]) -> Config {
    let object = |kind: &str, name: &str, spec: &Value| {
        let metadata = json!({"name": name});
        json!({"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": metadata, "spec": spec})
    };
    let pool: IPAddressPool =
        serde_json::from_value(object("IPAddressPool", "p", &json!({"addresses": ranges}))).unwrap();
    let advertisement = |(index, spec): (usize, &Value)| {
        serde_json::from_value::<L2Advertisement>(object("L2Advertisement", &format!("l2-{index}"), spec)).unwrap()
    };
    Config::build(&Resources {
        pools: vec![pool],
        l2_advertisements: advertisements.iter().enumerate().map(advertisement).collect(),
        undecodable: vec![],
    })
}

/// A configuration like that of [`config_of`], with a dual-stack pool that contains [`ADDRESS`].
#[must_use]
pub fn config(advertisements: &[Value]) -> Config {
    config_of(&POOL, advertisements)
}

/// An Ethernet interface that is up with carrier. The last byte of its MAC is its index.
#[must_use]
pub fn ethernet(index: u32, name: &str, addresses: &[&str]) -> Interface {
    Interface {
        index: InterfaceIndex(index),
        name: name.to_owned(),
        mac: Some(MacAddr::new(2, 0, 0, 0, 0, u8::try_from(index).unwrap())),
        running: true,
        can_arp: true,
        enslaved: false,
        excluded: false,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
    }
}

/// A Service whose endpoint names no node, so that every node counts as a node with an endpoint.
#[must_use]
pub fn service(name: &str) -> ServiceOnAddress {
    ServiceOnAddress {
        service: ObjectKey::new("n", name),
        labels: Labels::new(),
        local: false,
        shares: false,
        pool: None,
        endpoints: Arc::new(Endpoints {
            on_unknown_node: true,
            ..Endpoints::default()
        }),
    }
}

/// A cluster of these nodes, with one Service for each address, named after it. The InternalIPs of
/// the nodes are 10.0.0.1, 10.0.0.2 and so on.
#[must_use]
pub fn snapshot(nodes: &[&str], addresses: &[&str]) -> ClusterSnapshot {
    let node = |(index, name): (u8, &&str)| {
        let address = Ipv4Addr::new(10, 0, 0, index).into();
        (
            NodeName::from(*name),
            Node {
                address: Some(address),
                ..Node::default()
            },
        )
    };
    ClusterSnapshot {
        nodes: (1..).zip(nodes).map(node).collect(),
        addresses: addresses
            .iter()
            .map(|address| (address.parse::<IpAddr>().unwrap(), Arc::new(vec![service(address)])))
            .collect(),
        config: Arc::new(config(&[json!({})])),
        ..ClusterSnapshot::default()
    }
}

/// The only speaker of its cluster, once it announces [`ADDRESS`] on interface 1. Returns it with
/// the present time and an ARP request for the address.
#[must_use]
pub fn announcing_speaker() -> (Speaker, Instant, Vec<u8>) {
    announcing_speaker_among(&[])
}

/// An [`announcing_speaker`] in a cluster with `others`: nodes whose speakers were never heard.
#[must_use]
pub fn announcing_speaker_among(others: &[&str]) -> (Speaker, Instant, Vec<u8>) {
    let nodes: Vec<&str> = ["a"].iter().chain(others).copied().collect();
    let mut now = start();
    let mut speaker = Speaker::new(now, "a".into(), Settings::default());
    speaker.handle_interfaces(now, vec![ethernet(1, "eth0", &["192.0.2.250/24", "fe80::1/64"])]);
    speaker.handle_snapshot(now, Arc::new(snapshot(&nodes, &[ADDRESS])));
    let end = now + Duration::from_secs(3);
    while let Some(due) = speaker.next_timeout().filter(|due| *due < end) {
        now = now.max(due);
        speaker.handle_timeout(now);
        while speaker.poll_output().is_some() {}
    }
    let client = MacAddr::new(2, 9, 9, 9, 9, 9);
    let request = arp::request(client, Ipv4Addr::new(192, 0, 2, 99), ADDRESS.parse().unwrap());
    (speaker, now, request.into())
}
