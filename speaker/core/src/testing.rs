//! Fixtures for tests: one cluster, one interface and one Service for unit tests, the simulator and the fuzz targets.
//!
//! Compiled with the feature `testing` only.
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

/// The address of the Service in [`announcing_speaker`].
pub const ADDRESS: &str = "192.0.2.1";

/// The prefixes of the pool in [`config`].
const POOL: [&str; 2] = ["192.0.2.0/24", "2001:db8::/120"];

/// The moment at which a test begins. Everything after it is counted from here, so no test depends on the clock.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the only origin of time in tests of this crate"
)]
pub fn start() -> Instant {
    Instant::now()
}

/// The configuration of one IPAddressPool with these ranges and one L2Advertisement for each `spec`.
#[must_use]
pub fn config_of(ranges: &[&str], advertisements: &[Value]) -> Config {
    let object = |kind: &str, name: &str, spec: &Value| json!({"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": {"name": name}, "spec": spec});
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

/// The same with a pool that holds [`ADDRESS`].
#[must_use]
pub fn config(advertisements: &[Value]) -> Config {
    config_of(&POOL, advertisements)
}

/// An Ethernet interface that is up, with a MAC made from its index.
#[must_use]
pub fn ethernet(index: u32, name: &str, addresses: &[&str]) -> Interface {
    Interface {
        index: InterfaceIndex(index),
        name: name.to_owned(),
        mac: Some(MacAddr::new(2, 0, 0, 0, 0, u8::try_from(index).unwrap())),
        running: true,
        asks: true,
        enslaved: false,
        excluded: false,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
    }
}

/// A Service whose endpoints name no node, so that every node may own its address.
#[must_use]
pub fn service(name: &str) -> ServiceOnAddress {
    ServiceOnAddress {
        service: ObjectKey::new("n", name),
        labels: Labels::new(),
        local: false,
        shares: false,
        pool: None,
        endpoints: Arc::new(Endpoints {
            elsewhere: true,
            ..Endpoints::default()
        }),
    }
}

/// A cluster of these nodes, at 10.0.0.1 and the following, with one Service for each address.
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

/// A speaker alone in its cluster that announces [`ADDRESS`] on interface 1, the moment when it does, and an ARP request for the address.
#[must_use]
pub fn announcing_speaker() -> (Speaker, Instant, Vec<u8>) {
    let mut now = start();
    let mut speaker = Speaker::new(now, "a".into(), Settings::default());
    speaker.handle_interfaces(now, vec![ethernet(1, "eth0", &["192.0.2.250/24", "fe80::1/64"])]);
    speaker.handle_snapshot(now, Arc::new(snapshot(&["a"], &[ADDRESS])));
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
