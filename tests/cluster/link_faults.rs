//! Faults of links: packet loss, a lost carrier, a partition, filtered broadcasts.
//!
//! All of them act on the bridges' side of a link, in the namespace `lan`. The host notices only
//! what a real host would notice.

use anyhow::Result;

use crate::{
    cluster::Cluster,
    netns::Netns,
    network::{lan_port, node_port},
};

/// The bridge for the hosts that [`Cluster::partition`] separates from the others.
const PARTITION_BRIDGE: &str = "other-side";

/// The share of packets that a link drops, in each direction independently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossRule {
    /// Every packet. The hosts keep their carrier and do not notice.
    All,
    /// This percentage of the packets, chosen at random.
    Percent(u8),
}

impl Cluster {
    /// Drops packets between a host and the LAN, until [`Self::restore_links`].
    ///
    /// # Errors
    /// When the packet filter refuses the rules.
    pub fn set_lan_loss(&self, host: &str, loss: LossRule) -> Result<()> {
        self.set_loss(&lan_port(host), loss)
    }

    /// Drops packets between a node and the node network, until [`Self::restore_links`]. In the
    /// flat layout the node network is the LAN.
    ///
    /// # Errors
    /// When the packet filter refuses the rules.
    pub fn set_node_network_loss(&self, node: &str, loss: LossRule) -> Result<()> {
        self.set_loss(&node_port(self.layout(), node), loss)
    }

    /// Drops broadcasts from the LAN to a host, as some switches and hypervisors do, until
    /// [`Self::restore_links`].
    ///
    /// # Errors
    /// When the packet filter refuses the rules.
    pub fn block_broadcasts_to(&self, host: &str) -> Result<()> {
        let port = lan_port(host);
        self.clear_filter(&port)?;
        self.nft(format!(
            "add table netdev {port}\n\
             add chain netdev {port} egress {{ type filter hook egress device \"{port}\" priority 0; }}\n\
             add rule netdev {port} egress ether daddr ff:ff:ff:ff:ff:ff drop\n"
        ))
    }

    /// Ends all loss and filtering on the links of a host.
    ///
    /// # Errors
    /// When the packet filter refuses the change.
    pub fn restore_links(&self, host: &str) -> Result<()> {
        self.ports(host).iter().try_for_each(|port| self.clear_filter(port))
    }

    /// Connects or disconnects the LAN cable of a host. The host sees its carrier come or go.
    ///
    /// # Errors
    /// When no host has that name.
    pub fn set_carrier(&self, host: &str, up: bool) -> Result<()> {
        self.bridges()
            .ip(&["link", "set", &lan_port(host), if up { "up" } else { "down" }])?;
        Ok(())
    }

    /// Separates these hosts from all others, on every network. They still reach each other.
    ///
    /// # Errors
    /// When no host has one of these names, or a partition exists already.
    pub fn partition(&self, hosts: &[&str]) -> Result<()> {
        self.bridges().ip(&[
            "link",
            "add",
            PARTITION_BRIDGE,
            "up",
            "type",
            "bridge",
            "forward_delay",
            "0",
        ])?;
        for port in hosts.iter().flat_map(|host| self.ports(host)) {
            self.bridges().ip(&["link", "set", &port, "master", PARTITION_BRIDGE])?;
        }
        Ok(())
    }

    /// Ends the partition of these hosts.
    ///
    /// # Errors
    /// When there is no partition.
    pub fn end_partition(&self, hosts: &[&str]) -> Result<()> {
        for port in hosts.iter().flat_map(|host| self.ports(host)) {
            // The name of a port starts with the name of its bridge.
            let bridge = port.split('-').next().unwrap_or_default();
            self.bridges().ip(&["link", "set", &port, "master", bridge])?;
        }
        self.bridges().ip(&["link", "del", PARTITION_BRIDGE])?;
        Ok(())
    }

    /// The bridge ports of a host, one for each of its networks.
    pub(crate) fn ports(&self, host: &str) -> Vec<String> {
        let mut ports = vec![lan_port(host), node_port(self.layout(), host)];
        ports.dedup();
        ports
    }

    pub(crate) fn set_loss(&self, port: &str, loss: LossRule) -> Result<()> {
        self.clear_filter(port)?;
        let verdict = match loss {
            LossRule::All => "drop".to_owned(),
            LossRule::Percent(percent) => format!("numgen random mod 100 < {percent} drop"),
        };
        let mut script = format!("add table netdev {port}\n");
        for hook in ["ingress", "egress"] {
            script += &format!(
                "add chain netdev {port} {hook} {{ type filter hook {hook} device \"{port}\" priority 0; }}\n\
                 add rule netdev {port} {hook} {verdict}\n"
            );
        }
        self.nft(script)
    }

    fn clear_filter(&self, port: &str) -> Result<()> {
        // nft can't delete a table that does not exist. Adding a table that exists is harmless.
        self.nft(format!("add table netdev {port}\ndelete table netdev {port}\n"))
    }

    fn bridges(&self) -> Netns {
        Netns::new(self.spec().namespace("lan"))
    }

    /// Runs an nftables script in the namespace of the bridges.
    fn nft(&self, script: String) -> Result<()> {
        self.bridges().tool("nft").args(["-f", "-"]).input(script).run()?;
        Ok(())
    }
}
