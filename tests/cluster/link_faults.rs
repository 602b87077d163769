//! Faults of links: packet loss, a lost carrier, a port that forwards nothing, a partition,
//! filtered broadcasts and messages.
//!
//! All of them act on the bridges' side of a link, in the namespace `lan`. The host notices only
//! what a real host would notice.

use anyhow::Result;

use crate::{
    cluster::Cluster,
    netns::Netns,
    network::{Cable, cables, lan_port, node_port},
};

/// The bridge for the hosts that [`Cluster::partition`] separates from the others.
const PARTITION_BRIDGE: &str = "other-side";

/// The UDP port of the speakers.
const SPEAKER_PORT: u16 = 7947;

/// The share of packets that a link drops, in each direction independently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossRule {
    /// Every packet. The hosts keep their carrier and do not notice.
    All,
    /// This percentage of the packets, chosen at random.
    Percent(u8),
}

/// A direction of packets, as seen from a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the host sends.
    Outgoing,
    /// What the host receives.
    Incoming,
    /// What the host sends and what it receives.
    Both,
}

impl Direction {
    /// The hooks of the packet filter at the bridge's end of the host's link.
    const fn hooks(self) -> &'static [&'static str] {
        match self {
            Self::Outgoing => &["ingress"],
            Self::Incoming => &["egress"],
            Self::Both => &["ingress", "egress"],
        }
    }
}

impl Cluster {
    /// Drops packets between a host and the LAN, until [`Self::restore_links`].
    ///
    /// # Errors
    /// When the packet filter refuses the rules.
    pub fn set_lan_loss(&self, host: &str, loss: LossRule) -> Result<()> {
        self.set_loss(&lan_port(host), loss)
    }

    /// Drops packets between a node and the node network, until [`Self::restore_links`]. Without
    /// [`Layout::Split`](crate::Layout::Split) the node network is the LAN.
    ///
    /// # Errors
    /// When the packet filter refuses the rules.
    pub fn set_node_network_loss(&self, node: &str, loss: LossRule) -> Result<()> {
        self.set_loss(&node_port(self.spec(), node), loss)
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

    /// Drops the messages between speakers on all networks of a node, as a firewall does, until
    /// [`Self::restore_links`]. Everything else passes.
    ///
    /// # Errors
    /// When no host has that name, or the packet filter refuses the rules.
    pub fn block_speaker_messages(&self, node: &str, direction: Direction) -> Result<()> {
        for cable in self.cables(node)? {
            let port = cable.port;
            self.clear_filter(&port)?;
            let mut script = format!("add table netdev {port}\n");
            for hook in direction.hooks() {
                script += &format!(
                    "add chain netdev {port} {hook} {{ type filter hook {hook} device \"{port}\" priority 0; }}\n\
                     add rule netdev {port} {hook} udp dport {SPEAKER_PORT} drop\n"
                );
            }
            self.nft(script)?;
        }
        Ok(())
    }

    /// Ends all loss and filtering on the links of a host.
    ///
    /// # Errors
    /// When no host has that name, or the packet filter refuses the change.
    pub fn restore_links(&self, host: &str) -> Result<()> {
        self.cables(host)?
            .iter()
            .try_for_each(|cable| self.clear_filter(&cable.port))
    }

    /// Makes the switch stop forwarding between a host and the LAN, or start again. The host keeps
    /// its carrier and notices nothing. The bridge forgets what it has learned on that port.
    ///
    /// # Errors
    /// When no host has that name.
    pub fn set_forwarding(&self, host: &str, forwards: bool) -> Result<()> {
        let state = if forwards { "forwarding" } else { "disabled" };
        self.bridges()
            .tool("bridge")
            .args(["link", "set", "dev", &lan_port(host), "state", state])
            .run()?;
        Ok(())
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
        let cables = self.cables_of_all(hosts)?;
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
        for cable in cables {
            self.bridges()
                .ip(&["link", "set", &cable.port, "master", PARTITION_BRIDGE])?;
        }
        Ok(())
    }

    /// Ends the partition of these hosts.
    ///
    /// # Errors
    /// When there is no partition.
    pub fn end_partition(&self, hosts: &[&str]) -> Result<()> {
        for cable in self.cables_of_all(hosts)? {
            self.bridges()
                .ip(&["link", "set", &cable.port, "master", cable.bridge])?;
        }
        self.bridges().ip(&["link", "del", PARTITION_BRIDGE])?;
        Ok(())
    }

    /// All cables of a host.
    pub(crate) fn cables(&self, host: &str) -> Result<Vec<Cable>> {
        cables(self.spec(), host)
    }

    fn cables_of_all(&self, hosts: &[&str]) -> Result<Vec<Cable>> {
        let cables: Vec<Vec<Cable>> = hosts.iter().map(|host| self.cables(host)).collect::<Result<_>>()?;
        Ok(cables.into_iter().flatten().collect())
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
