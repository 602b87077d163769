//! The networks of a cluster: bridges, links, addresses and routes.

use anyhow::Result;

use crate::{
    netns::Netns,
    spec::{Layout, Spec},
};

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
    /// Its IPv4 address on the LAN; in the flat layout the same as its InternalIP.
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

/// A network with a bridge of its own.
struct BridgedNetwork {
    bridge: &'static str,
    /// The name of the interface that each host has on this network.
    interface: &'static str,
    /// The first three bytes of its IPv4 addresses.
    ipv4: &'static str,
    /// The prefix of its IPv6 addresses, without the last colon.
    ipv6: &'static str,
}

const LAN_FLAT: BridgedNetwork = BridgedNetwork {
    bridge: "lan",
    interface: "eth0",
    ipv4: "192.168.122",
    ipv6: "fd00:122:",
};
const LAN_SPLIT: BridgedNetwork = BridgedNetwork {
    bridge: "lan",
    interface: "lan0",
    ipv4: "192.168.122",
    ipv6: "fd00:122:",
};
const NODES_SPLIT: BridgedNetwork = BridgedNetwork {
    bridge: "nodes",
    interface: "eth0",
    ipv4: "10.10.0",
    ipv6: "fd00:10:",
};

/// The addresses of the node with this index; 0 is the control-plane node.
pub(crate) fn node_addresses(layout: Layout, index: usize) -> NodeAddresses {
    let host = 10 + index;
    let node_network = node_network(layout);
    NodeAddresses {
        ipv4: format!("{}.{host}", node_network.ipv4),
        ipv6: format!("{}:{host}", node_network.ipv6),
        lan_ipv4: format!("{}.{host}", LAN_FLAT.ipv4),
        lan_ipv6: format!("{}:{host}", LAN_FLAT.ipv6),
        pods_ipv4: format!("10.244.{index}.0/24"),
        pods_ipv6: format!("fd00:244:0:{index:x}::/64"),
    }
}

/// The network of the nodes' InternalIPs.
const fn node_network(layout: Layout) -> &'static BridgedNetwork {
    match layout {
        Layout::Flat => &LAN_FLAT,
        Layout::Split => &NODES_SPLIT,
    }
}

/// The name of the interface that each node has on the LAN.
pub(crate) const fn lan_interface(layout: Layout) -> &'static str {
    match layout {
        Layout::Flat => LAN_FLAT.interface,
        Layout::Split => LAN_SPLIT.interface,
    }
}

/// The port that connects a host to the bridge of the LAN, in the namespace `lan`.
pub(crate) fn lan_port(host: &str) -> String {
    port(&LAN_FLAT, host)
}

/// The port that connects a node to the bridge of the node network, in the namespace `lan`.
pub(crate) fn node_port(layout: Layout, host: &str) -> String {
    port(node_network(layout), host)
}

fn port(network: &BridgedNetwork, host: &str) -> String {
    format!("{}-{host}", network.bridge)
}

/// Creates all namespaces, bridges, links and routes.
pub(crate) fn create(spec: &Spec) -> Result<()> {
    let bridges = Netns::new(spec.namespace("lan"));
    bridges.create()?;
    // The IP packet filter of this namespace must not see bridged frames.
    bridges.sysctl(&[
        ("bridge/bridge-nf-call-iptables", "0"),
        ("bridge/bridge-nf-call-ip6tables", "0"),
    ])?;
    let networks: &[BridgedNetwork] = match spec.layout {
        Layout::Flat => &[LAN_FLAT],
        Layout::Split => &[LAN_SPLIT, NODES_SPLIT],
    };
    let mut lines = Vec::new();
    for network in networks {
        lines.push(format!("link add {} type bridge forward_delay 0", network.bridge));
        lines.push(format!("addr add {}.1/24 dev {}", network.ipv4, network.bridge));
        lines.push(format!("addr add {}:1/64 dev {} nodad", network.ipv6, network.bridge));
        lines.push(format!("link set {} up", network.bridge));
    }
    bridges.ip_batch(&lines)?;
    for (index, node) in spec.nodes().iter().enumerate() {
        create_host(spec, node, networks, 10 + index)?;
    }
    for (index, client) in spec.client_names().iter().enumerate() {
        create_host(spec, client, &[LAN_FLAT], 201 + index)?;
    }
    for index in 0..spec.nodes().len() {
        create_pod_routes(spec, index)?;
    }
    Ok(())
}

/// Creates a host with an interface on each of `networks`. Its default route uses the last of them.
fn create_host(spec: &Spec, name: &str, networks: &[BridgedNetwork], number: usize) -> Result<()> {
    let netns = Netns::new(spec.namespace(name));
    netns.create()?;
    netns.sysctl(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
    let bridges = spec.namespace("lan");
    let mut lines = Vec::new();
    for network in networks {
        let (interface, port) = (network.interface, port(network, name));
        // A fixed MAC that identifies the network and the host makes test output readable.
        let mac = format!(
            "02:00:00:{:02x}:00:{number:02x}",
            if network.bridge == "lan" { 0x1a } else { 0x0d }
        );
        Netns::new(&bridges).ip_batch(&[
            format!(
                "link add {port} type veth peer name {interface} address {mac} netns {}",
                netns.name()
            ),
            format!("link set {port} master {} up", network.bridge),
        ])?;
        lines.push(format!("addr add {}.{number}/24 dev {interface}", network.ipv4));
        lines.push(format!("addr add {}:{number}/64 dev {interface} nodad", network.ipv6));
        lines.push(format!("link set {interface} up"));
    }
    if let Some(network) = networks.last() {
        // Without a default route, connections to cluster IPs fail before kube-proxy's rules apply.
        lines.push(format!("route add default via {}.1", network.ipv4));
        lines.push(format!("route add default via {}:1", network.ipv6));
    }
    netns.ip_batch(&lines)
}

/// Creates the routes from the node with this index to the pods of all other nodes.
fn create_pod_routes(spec: &Spec, index: usize) -> Result<()> {
    let nodes = spec.nodes();
    let mut lines = Vec::new();
    for other in (0..nodes.len()).filter(|other| *other != index) {
        let addresses = node_addresses(spec.layout, other);
        lines.push(format!("route add {} via {}", addresses.pods_ipv4, addresses.ipv4));
        lines.push(format!("route add {} via {}", addresses.pods_ipv6, addresses.ipv6));
    }
    Netns::new(spec.namespace(&nodes[index])).ip_batch(&lines)
}
