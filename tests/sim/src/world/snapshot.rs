//! The content of the API server: nodes, Services with addresses, one pool and one advertisement.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use lodestone_crds::{Config, IPAddressPool, L2Advertisement, Labels, Resources};
use lodestone_daemon::ObjectKey;
use lodestone_speaker::{
    core::{
        Facts,
        facts::{Endpoints, Node, Tenant},
    },
    wire::message::NodeName,
};
use serde_json::{Value, json};

use super::{
    WorldSpec,
    network::{SimSegment, address_on},
};

pub(super) fn build(spec: &WorldSpec, names: &[NodeName]) -> Facts {
    let segment = if spec.split {
        SimSegment::NodeNetwork
    } else {
        SimSegment::Lan
    };
    let node = |(index, name): (usize, &NodeName)| {
        let node = Node {
            address: Some(address_on(index, segment)),
            ..Node::default()
        };
        (name.clone(), node)
    };
    Facts {
        nodes: names.iter().enumerate().map(node).collect(),
        addresses: (0..spec.addresses)
            .map(|index| (service_address(index), Arc::new(vec![service(index)])))
            .collect(),
        config: Arc::new(config()),
        ..Facts::default()
    }
}

/// Returns the address of the Service with this index.
fn service_address(index: usize) -> IpAddr {
    let number = u32::try_from(index).unwrap_or_default();
    if index % 3 == 2 {
        Ipv6Addr::from(0x2001_0db8_0000_0001_0000_0000_0000_0000 + u128::from(number)).into()
    } else {
        Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 1, 200, 0)) + number).into()
    }
}

/// Returns a Service with an endpoint outside of the simulated nodes, so that all are eligible.
fn service(index: usize) -> Tenant {
    Tenant {
        service: ObjectKey::new("n", &format!("s{index}")),
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

/// Returns a pool that holds all addresses, advertised from every node.
fn config() -> Config {
    let object = |kind: &str, spec: Value| json!({"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": {"name": "a"}, "spec": spec});
    let pool = object(
        "IPAddressPool",
        json!({"addresses": ["172.1.200.0/22", "2001:db8:0:1::/112"]}),
    );
    let pool: Option<IPAddressPool> = serde_json::from_value(pool).ok();
    let advertisement: Option<L2Advertisement> = serde_json::from_value(object("L2Advertisement", json!({}))).ok();
    Config::build(&Resources {
        pools: pool.into_iter().collect(),
        l2_advertisements: advertisement.into_iter().collect(),
        undecodable: vec![],
    })
}
