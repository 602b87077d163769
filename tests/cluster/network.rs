//! Bridges, links, addresses and routes.

use anyhow::Result;

use crate::{
    netns::Netns,
    spec::{Layout, Spec},
};

/// Addresses of the LAN that belong to no host: what a test gives to a pool.
pub const LAN_POOL: &str = "192.168.122.110-192.168.122.119";

/// The same for IPv6.
pub const LAN_POOL_IPV6: &str = "fd00:122::a0-fd00:122::af";

/// The addresses of one node.
#[derive(Clone, Debug)]
pub struct NodeAddresses {
    /// Its InternalIP, IPv4.
    pub ipv4: String,
    /// Its InternalIP, IPv6.
    pub ipv6: String,
    /// Its IPv4 address on the LAN; in the flat layout the same as its InternalIP.
    pub lan_ipv4: String,
    /// Its IPv6 address on the LAN.
    pub lan_ipv6: String,
    /// The range of its pods, IPv4.
    pub pods_ipv4: String,
    /// The range of its pods, IPv6.
    pub pods_ipv6: String,
}

/// The range of all pods: IPv4, IPv6.
pub(crate) const POD_RANGES: (&str, &str) = ("10.244.0.0/16", "fd00:244::/48");
/// The range of cluster addresses: IPv4, IPv6.
pub(crate) const SERVICE_RANGES: (&str, &str) = ("10.96.0.0/16", "fd00:96::/112");

/// A network: the name of its bridge, of the interface in each host, and its prefixes less the host part.
struct Lan {
    bridge: &'static str,
    interface: &'static str,
    ipv4: &'static str,
    ipv6: &'static str,
}

const LAN_FLAT: Lan = Lan {
    bridge: "lan",
    interface: "eth0",
    ipv4: "192.168.122",
    ipv6: "fd00:122:",
};
const LAN_SPLIT: Lan = Lan {
    bridge: "lan",
    interface: "lan0",
    ipv4: "192.168.122",
    ipv6: "fd00:122:",
};
const NODES_SPLIT: Lan = Lan {
    bridge: "nodes",
    interface: "eth0",
    ipv4: "10.10.0",
    ipv6: "fd00:10:",
};

/// The addresses of node `index` (0 is the control-plane node).
pub(crate) fn node_addresses(layout: Layout, index: usize) -> NodeAddresses {
    let host = 10 + index;
    let node_network = if layout == Layout::Split {
        &NODES_SPLIT
    } else {
        &LAN_FLAT
    };
    NodeAddresses {
        ipv4: format!("{}.{host}", node_network.ipv4),
        ipv6: format!("{}:{host}", node_network.ipv6),
        lan_ipv4: format!("{}.{host}", LAN_FLAT.ipv4),
        lan_ipv6: format!("{}:{host}", LAN_FLAT.ipv6),
        pods_ipv4: format!("10.244.{index}.0/24"),
        pods_ipv6: format!("fd00:244:0:{index:x}::/64"),
    }
}

/// The interface of a node on the LAN.
pub(crate) const fn lan_interface(layout: Layout) -> &'static str {
    match layout {
        Layout::Flat => LAN_FLAT.interface,
        Layout::Split => LAN_SPLIT.interface,
    }
}

/// The port of the LAN's bridge (in the namespace `lan`) that a host hangs on.
pub(crate) fn lan_port(host: &str) -> String {
    port(&LAN_FLAT, host)
}

/// The port of the bridge of the node network that a node hangs on.
pub(crate) fn node_port(layout: Layout, host: &str) -> String {
    port(
        if layout == Layout::Split {
            &NODES_SPLIT
        } else {
            &LAN_FLAT
        },
        host,
    )
}

fn port(lan: &Lan, host: &str) -> String {
    format!("{}-{host}", lan.bridge)
}

/// Makes all namespaces, bridges, links and routes.
pub(crate) fn create(spec: &Spec) -> Result<()> {
    let bridges = Netns::new(spec.namespace("lan"));
    bridges.create()?;
    // Bridged frames are none of the business of packet filters here.
    bridges.sysctl(&[
        ("bridge/bridge-nf-call-iptables", "0"),
        ("bridge/bridge-nf-call-ip6tables", "0"),
    ])?;
    let lans: &[Lan] = match spec.topology {
        Layout::Flat => &[LAN_FLAT],
        Layout::Split => &[LAN_SPLIT, NODES_SPLIT],
    };
    let mut lines = Vec::new();
    for lan in lans {
        lines.push(format!("link add {} type bridge forward_delay 0", lan.bridge));
        lines.push(format!("addr add {}.1/24 dev {}", lan.ipv4, lan.bridge));
        lines.push(format!("addr add {}:1/64 dev {} nodad", lan.ipv6, lan.bridge));
        lines.push(format!("link set {} up", lan.bridge));
    }
    bridges.ip_batch(&lines)?;
    for (index, node) in spec.nodes().iter().enumerate() {
        host(spec, node, lans, 10 + index)?;
    }
    for (index, client) in spec.client_names().iter().enumerate() {
        host(spec, client, &[LAN_FLAT], 201 + index)?;
    }
    for index in 0..spec.nodes().len() {
        pod_routes(spec, index)?;
    }
    Ok(())
}

/// A host with an interface on each of `lans`; the first interface of the last of them leads to the rest of the world.
fn host(spec: &Spec, name: &str, lans: &[Lan], number: usize) -> Result<()> {
    let netns = Netns::new(spec.namespace(name));
    netns.create()?;
    netns.sysctl(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
    let bridges = spec.namespace("lan");
    let mut lines = Vec::new();
    for lan in lans {
        let (interface, port) = (lan.interface, port(lan, name));
        // A stable MAC that tells host and network: what a test prints can be read.
        let mac = format!(
            "02:00:00:{:02x}:00:{number:02x}",
            if lan.bridge == "lan" { 0x1a } else { 0x0d }
        );
        Netns::new(&bridges).ip_batch(&[
            format!(
                "link add {port} type veth peer name {interface} address {mac} netns {}",
                netns.name()
            ),
            format!("link set {port} master {} up", lan.bridge),
        ])?;
        lines.push(format!("addr add {}.{number}/24 dev {interface}", lan.ipv4));
        lines.push(format!("addr add {}:{number}/64 dev {interface} nodad", lan.ipv6));
        lines.push(format!("link set {interface} up"));
    }
    if let Some(lan) = lans.last() {
        // Without a default route a connect to a cluster address fails before kube-proxy's rules see it.
        lines.push(format!("route add default via {}.1", lan.ipv4));
        lines.push(format!("route add default via {}:1", lan.ipv6));
    }
    netns.ip_batch(&lines)
}

/// Routes from node `index` to the pods of every other one.
fn pod_routes(spec: &Spec, index: usize) -> Result<()> {
    let nodes = spec.nodes();
    let mut lines = Vec::new();
    for other in (0..nodes.len()).filter(|other| *other != index) {
        let addresses = node_addresses(spec.topology, other);
        lines.push(format!("route add {} via {}", addresses.pods_ipv4, addresses.ipv4));
        lines.push(format!("route add {} via {}", addresses.pods_ipv6, addresses.ipv6));
    }
    Netns::new(spec.namespace(&nodes[index])).ip_batch(&lines)
}
