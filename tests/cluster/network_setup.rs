//! Creates the namespaces, bridges, cables and routes of a cluster.

use anyhow::Result;

use crate::{
    netns::Netns,
    network::{BridgedNetwork, Cable, POD_BRIDGE, cables, client_network, networks, node_addresses, node_network},
    overlay,
    spec::{Layout, Spec},
};

/// Creates all namespaces, bridges, links and routes.
pub(crate) fn create(spec: &Spec) -> Result<()> {
    let bridges = Netns::new(spec.namespace("lan"));
    bridges.create()?;
    // The IP packet filter of this namespace must not see bridged frames.
    bridges.sysctl(&[
        ("bridge/bridge-nf-call-iptables", "0"),
        ("bridge/bridge-nf-call-ip6tables", "0"),
    ])?;
    let mut lines = Vec::new();
    for network in networks(spec) {
        let (ipv4, ipv6) = network.router();
        lines.push(format!("link add {} type bridge forward_delay 0", network.bridge));
        lines.push(format!("addr add {ipv4}/24 dev {}", network.bridge));
        lines.push(format!("addr add {ipv6}/64 dev {} nodad", network.bridge));
        lines.push(format!("link set {} up", network.bridge));
    }
    bridges.ip_batch(&lines)?;
    let nodes = spec.nodes();
    for node in &nodes {
        create_host(spec, node, node_network(spec))?;
        if spec.has(Layout::Bridge) {
            filter_only_pod_bridge(spec, node)?;
        }
    }
    for client in spec.client_names() {
        create_host(spec, &client, client_network())?;
    }
    for index in 0..nodes.len() {
        if spec.has(Layout::Overlay) {
            overlay::create(spec, index)?;
        } else {
            create_pod_routes(spec, index)?;
        }
    }
    Ok(())
}

/// Creates a host with its cables. Its default route uses `network`.
fn create_host(spec: &Spec, name: &str, network: &BridgedNetwork) -> Result<()> {
    let netns = Netns::new(spec.namespace(name));
    netns.create()?;
    netns.sysctl(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
    let bridges = Netns::new(spec.namespace("lan"));
    let mut lines = Vec::new();
    for cable in cables(spec, name)? {
        bridges.ip_batch(&[
            format!(
                "link add {} type veth peer name {} address {} netns {}",
                cable.port,
                cable.interface,
                cable.mac,
                netns.name()
            ),
            format!("link set {} master {} up", cable.port, cable.bridge),
        ])?;
        lines.extend(set_up_cable(&cable));
    }
    let (ipv4, ipv6) = network.router();
    // Without a default route, connections to cluster IPs fail before kube-proxy's rules apply.
    lines.push(format!("route add default via {ipv4}"));
    lines.push(format!("route add default via {ipv6}"));
    netns.ip_batch(&lines)
}

/// Keeps the IP packet filter of a node away from bridged frames, except those between its pods.
///
/// Otherwise the kernel translates a packet for a Service while it is still on the bridge of the
/// LAN. If the pod is on another node, the frame would have to leave through the port by which it
/// came. A bridge does not do that. Operators of such nodes need the same settings.
fn filter_only_pod_bridge(spec: &Spec, node: &str) -> Result<()> {
    let netns = Netns::new(spec.namespace(node));
    netns.sysctl(&[
        ("bridge/bridge-nf-call-iptables", "0"),
        ("bridge/bridge-nf-call-ip6tables", "0"),
    ])?;
    // The network plugin uses the bridge that it finds.
    netns.ip_batch(&[format!(
        "link add {POD_BRIDGE} type bridge nf_call_iptables 1 nf_call_ip6tables 1 forward_delay 0"
    )])
}

/// The commands that set up the host's end of a cable.
fn set_up_cable(cable: &Cable) -> Vec<String> {
    let (end, interface) = (cable.interface, cable.address_interface);
    let mut lines = Vec::new();
    if interface != end {
        lines.push(format!(
            "link add {interface} address {} type bridge forward_delay 0",
            cable.mac
        ));
        lines.push(format!("link set {end} master {interface} up"));
    }
    if let Some((ipv4, ipv6)) = &cable.addresses {
        lines.push(format!("addr add {ipv4} dev {interface}"));
        lines.push(format!("addr add {ipv6} dev {interface} nodad"));
    }
    lines.push(format!("link set {interface} up"));
    lines
}

/// Creates the routes from the node with this index to the pods of all other nodes.
fn create_pod_routes(spec: &Spec, index: usize) -> Result<()> {
    let nodes = spec.nodes();
    let mut lines = Vec::new();
    for other in (0..nodes.len()).filter(|other| *other != index) {
        let addresses = node_addresses(spec, other);
        lines.push(format!("route add {} via {}", addresses.pods_ipv4, addresses.ipv4));
        lines.push(format!("route add {} via {}", addresses.pods_ipv6, addresses.ipv6));
    }
    Netns::new(spec.namespace(&nodes[index])).ip_batch(&lines)
}
