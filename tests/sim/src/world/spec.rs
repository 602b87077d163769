//! What a world is made of.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use lodestone_crds::{Config, IPAddressPool, L2Advertisement, Labels, Resources};
use lodestone_daemon::ObjectKey;
use lodestone_speaker::core::{
    Settings,
    facts::{Endpoints, Tenant},
};
use serde_json::json;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// From which everything that is by chance follows.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How many addresses; every third is of IPv6.
    pub addresses: usize,
    /// Whether the speakers talk over another network than the one that addresses are announced on.
    pub split: bool,
    /// What the user has chosen.
    pub settings: Settings,
}

/// The address with this number.
#[must_use]
pub fn address(index: usize) -> IpAddr {
    let number = u32::try_from(index).unwrap_or_default();
    if index % 3 == 2 {
        Ipv6Addr::from(0x2001_0db8_0000_0001_0000_0000_0000_0000 + u128::from(number)).into()
    } else {
        Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 1, 200, 0)) + number).into()
    }
}

pub(super) fn tenant(index: usize) -> Tenant {
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

/// A pool with all addresses, announced everywhere.
pub(super) fn config() -> Config {
    let object = |kind: &str, spec: serde_json::Value| json!({"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": {"name": "a"}, "spec": spec});
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
