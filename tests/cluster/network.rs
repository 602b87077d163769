//! The networks of a cluster: which cables each host has, and which addresses.

use anyhow::{Context, Result};

use crate::spec::{Layout, Spec};

/// IPv4 addresses of the LAN that no host has, for the pools of tests.
pub const LAN_POOL: &str = "192.168.122.110-192.168.122.119";

/// IPv6 addresses of the LAN that no host has, for the pools of tests.
pub const LAN_POOL_IPV6: &str = "fd00:122::a0-fd00:122::af";

/// The addresses of one node.
#[derive(Clone, Debug)]
pub struct NodeAddresses {
    /// Its IPv4 InternalIP, on the node network.
    pub ipv4: String,
    /// Its IPv6 InternalIP, on the node network.
    pub ipv6: String,
    /// Its IPv4 address on the LAN; without [`Layout::Split`] the same as its InternalIP.
    pub lan_ipv4: String,
    /// Its IPv6 address on the LAN.
    pub lan_ipv6: String,
    /// The IPv4 prefix of its pods.
    pub pods_ipv4: String,
    /// The IPv6 prefix of its pods.
    pub pods_ipv6: String,
}

/// The prefixes of all pods: IPv4, IPv6.
pub(crate) const POD_RANGES: (&str, &str) = ("10.244.0.0/16", "fd00:244::/48");
/// The prefixes of cluster IPs: IPv4, IPv6.
pub(crate) const SERVICE_RANGES: (&str, &str) = ("10.96.0.0/16", "fd00:96::/112");

/// The name of the bridge of a node, in [`Layout::Bridge`].
pub(crate) const NODE_BRIDGE: &str = "br0";

/// The name of the bridge between the pods of a node.
pub(crate) const POD_BRIDGE: &str = "cni0";

/// The difference between the host parts of the two addresses of a node on the LAN, in
/// [`Layout::SecondPortWithAddress`].
const SECOND_ADDRESS: usize = 40;

/// A network with a bridge of its own.
#[derive(Clone, Copy)]
pub(crate) struct BridgedNetwork {
    pub(crate) bridge: &'static str,
    /// The first three bytes of its IPv4 addresses.
    pub(crate) ipv4: &'static str,
    /// The prefix of its IPv6 addresses, without the last colon.
    pub(crate) ipv6: &'static str,
}

/// The network of the clients and of the Services' addresses.
const LAN: BridgedNetwork = BridgedNetwork {
    bridge: "lan",
    ipv4: "192.168.122",
    ipv6: "fd00:122:",
};
/// The network of the nodes' InternalIPs, in [`Layout::Split`].
const NODES: BridgedNetwork = BridgedNetwork {
    bridge: "nodes",
    ipv4: "10.10.0",
    ipv6: "fd00:10:",
};
/// The additional network of [`Layout::Storage`].
const STORAGE: BridgedNetwork = BridgedNetwork {
    bridge: "storage",
    ipv4: "10.10.10",
    ipv6: "fd00:1010:",
};

/// A cable between a host and the bridge of a network.
pub(crate) struct Cable {
    pub(crate) bridge: &'static str,
    /// The end at the bridge, an interface in the namespace `lan`.
    pub(crate) port: String,
    /// The end at the host.
    pub(crate) interface: &'static str,
    /// The MAC of the host's end. It identifies the kind of cable and the host, which makes the
    /// output of tests readable.
    pub(crate) mac: String,
    /// The interface that has the addresses: the cable's end, or a bridge of the host.
    pub(crate) address_interface: &'static str,
    /// The IPv4 and IPv6 address of the host, with their prefix lengths.
    pub(crate) addresses: Option<(String, String)>,
}

/// The networks that exist in a cluster.
pub(crate) fn networks(spec: &Spec) -> Vec<BridgedNetwork> {
    let optional = [(Layout::Split, NODES), (Layout::Storage, STORAGE)];
    let optional = optional.into_iter().filter(|(layout, _)| spec.has(*layout));
    std::iter::once(LAN)
        .chain(optional.map(|(_, network)| network))
        .collect()
}

/// The cables of a node or of a client. The first one leads to the LAN.
///
/// # Errors
/// When no host has that name.
pub(crate) fn cables(spec: &Spec, host: &str) -> Result<Vec<Cable>> {
    let position = |names: Vec<String>| names.iter().position(|name| name == host);
    if let Some(index) = position(spec.nodes()) {
        return Ok(node_cables(spec, host, 10 + index));
    }
    let index = position(spec.client_names()).with_context(|| format!("no host is called {host}"))?;
    Ok(vec![LAN.cable(host, 201 + index, "eth0", 0x1a)])
}

fn node_cables(spec: &Spec, node: &str, number: usize) -> Vec<Cable> {
    let to_lan = if spec.has(Layout::Split) { "lan0" } else { "eth0" };
    let mut cables = vec![Cable {
        address_interface: lan_interface(spec),
        ..LAN.cable(node, number, to_lan, 0x1a)
    }];
    if spec.has(Layout::Split) {
        cables.push(NODES.cable(node, number, "eth0", 0x0d));
    }
    if spec.has(Layout::Storage) {
        cables.push(STORAGE.cable(node, number, "eth1", 0x5a));
    }
    let with_address = spec.has(Layout::SecondPortWithAddress);
    if with_address || spec.has(Layout::SecondPort) {
        let second = LAN.cable(node, number + SECOND_ADDRESS, "port2", 0x2a);
        cables.push(Cable {
            port: format!("lan2-{node}"),
            addresses: second.addresses.filter(|_| with_address),
            ..second
        });
    }
    cables
}

impl BridgedNetwork {
    /// A cable from this network to a host. `number` is the host part of its addresses and the last
    /// byte of its MAC.
    fn cable(&self, host: &str, number: usize, interface: &'static str, kind: u8) -> Cable {
        Cable {
            bridge: self.bridge,
            port: format!("{}-{host}", self.bridge),
            interface,
            mac: format!("02:00:00:{kind:02x}:00:{number:02x}"),
            address_interface: interface,
            addresses: Some((
                format!("{}.{number}/24", self.ipv4),
                format!("{}:{number}/64", self.ipv6),
            )),
        }
    }

    /// The addresses of the bridge, which is the default router: IPv4, IPv6.
    pub(crate) fn router(&self) -> (String, String) {
        (format!("{}.1", self.ipv4), format!("{}:1", self.ipv6))
    }
}

/// The addresses of the node with this index; 0 is the control-plane node.
pub(crate) fn node_addresses(spec: &Spec, index: usize) -> NodeAddresses {
    let host = 10 + index;
    let node_network = node_network(spec);
    NodeAddresses {
        ipv4: format!("{}.{host}", node_network.ipv4),
        ipv6: format!("{}:{host}", node_network.ipv6),
        lan_ipv4: format!("{}.{host}", LAN.ipv4),
        lan_ipv6: format!("{}:{host}", LAN.ipv6),
        pods_ipv4: format!("10.244.{index}.0/24"),
        pods_ipv6: format!("fd00:244:0:{index:x}::/64"),
    }
}

/// The network of the nodes' InternalIPs.
pub(crate) fn node_network(spec: &Spec) -> &'static BridgedNetwork {
    if spec.has(Layout::Split) { &NODES } else { &LAN }
}

/// The network of a client.
pub(crate) const fn client_network() -> &'static BridgedNetwork {
    &LAN
}

/// The name of the interface that has the address of a node on the LAN.
pub(crate) fn lan_interface(spec: &Spec) -> &'static str {
    match (spec.has(Layout::Bridge), spec.has(Layout::Split)) {
        (true, _) => NODE_BRIDGE,
        (false, true) => "lan0",
        (false, false) => "eth0",
    }
}

/// The name of the interface that has the InternalIPs of a node.
pub(crate) fn node_interface(spec: &Spec) -> &'static str {
    if spec.has(Layout::Split) {
        "eth0"
    } else {
        lan_interface(spec)
    }
}

/// The port that connects a host to the bridge of the LAN, in the namespace `lan`.
pub(crate) fn lan_port(host: &str) -> String {
    format!("{}-{host}", LAN.bridge)
}

/// The port that connects a node to the bridge of the node network, in the namespace `lan`.
pub(crate) fn node_port(spec: &Spec, host: &str) -> String {
    format!("{}-{host}", node_network(spec).bridge)
}
