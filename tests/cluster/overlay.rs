//! The tunnel between pods of different nodes, in [`Layout::Overlay`](crate::Layout::Overlay).
//!
//! It is built as common network plugins do it. Each node has a vxlan device of the same name, with
//! a MAC and addresses of its own. Static entries say where each MAC is. The devices learn nothing
//! and forward no broadcast: what they have in common is the name.

use anyhow::Result;

use crate::{
    netns::Netns,
    network::{node_addresses, node_interface},
    spec::Spec,
};

/// The name of the device on every node. It has the greatest length that the kernel allows.
pub const OVERLAY_INTERFACE: &str = "vxlan.lodestone";

/// The largest packet that fits into the tunnel, in bytes.
pub(crate) const OVERLAY_MTU: u16 = 1450;

/// The identifier of the network in the tunnel.
const NETWORK_ID: u32 = 4096;

/// The UDP port of the tunnel.
const PORT: u16 = 8472;

/// One end of the tunnel.
struct Endpoint {
    mac: String,
    ipv4: String,
    ipv6: String,
}

/// The end at the node with this index. Its addresses are in the prefixes of the node's pods, where
/// no pod gets them.
fn endpoint(index: usize) -> Endpoint {
    Endpoint {
        mac: format!("02:00:00:0f:00:{:02x}", 10 + index),
        ipv4: format!("10.244.{index}.0"),
        ipv6: format!("fd00:244:0:{index:x}:ffff::1"),
    }
}

/// Creates the end of the tunnel at the node with this index, and the routes to the pods of all
/// other nodes.
pub(crate) fn create(spec: &Spec, index: usize) -> Result<()> {
    let nodes = spec.nodes();
    let own = endpoint(index);
    let device = OVERLAY_INTERFACE;
    let mut lines = vec![
        format!(
            "link add {device} address {} mtu {OVERLAY_MTU} type vxlan id {NETWORK_ID} local {} dev {} dstport {PORT} nolearning",
            own.mac,
            node_addresses(spec, index).ipv4,
            node_interface(spec)
        ),
        format!("addr add {}/32 dev {device}", own.ipv4),
        format!("addr add {}/128 dev {device} nodad", own.ipv6),
        format!("link set {device} up"),
    ];
    let mut forwarding = Vec::new();
    for other in (0..nodes.len()).filter(|other| *other != index) {
        let (far, addresses) = (endpoint(other), node_addresses(spec, other));
        for (address, pods) in [(&far.ipv4, &addresses.pods_ipv4), (&far.ipv6, &addresses.pods_ipv6)] {
            lines.push(format!(
                "neigh add {address} lladdr {} dev {device} nud permanent",
                far.mac
            ));
            lines.push(format!("route add {pods} via {address} dev {device} onlink"));
        }
        forwarding.push(format!("fdb append {} dev {device} dst {}", far.mac, addresses.ipv4));
    }
    let node = Netns::new(spec.namespace(&nodes[index]));
    node.ip_batch(&lines)?;
    node.tool("bridge")
        .args(["-batch", "-"])
        .input(forwarding.join("\n"))
        .run()?;
    Ok(())
}
