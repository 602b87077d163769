//! What a cluster is made of.

use std::path::PathBuf;

/// Which networks there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
pub enum Topology {
    /// One interface a node (`eth0`): the LAN is the node network.
    #[default]
    Flat,
    /// Two interfaces a node: `eth0` on the node network, `lan0` on the LAN.
    Split,
}

/// How kube-proxy brings packets for a Service to its pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
pub enum ProxyMode {
    /// `--proxy-mode=nftables`.
    #[default]
    Nftables,
    /// `--proxy-mode=iptables`.
    Iptables,
}

impl ProxyMode {
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

/// What a cluster is made of.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Spec {
    /// Its name: that of its namespaces and of its folder. Short: the paths of sockets have a limit of 107 bytes.
    pub name: String,
    /// The networks.
    pub topology: Topology,
    /// The mode of every kube-proxy.
    pub proxy_mode: ProxyMode,
    /// How many workers there are beside the control-plane node.
    pub workers: u8,
    /// How many hosts on the LAN are no members.
    pub clients: u8,
    /// Archives of images that every node gets.
    pub images: Vec<PathBuf>,
    /// Whether the cluster goes when the process that made it does.
    pub owned: bool,
}

impl Spec {
    /// Three workers, one client, one network, nothing but the images of the cluster itself.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            topology: Topology::Flat,
            proxy_mode: ProxyMode::Nftables,
            workers: 3,
            clients: 1,
            images: Vec::new(),
            owned: true,
        }
    }

    /// The names of the nodes: the control-plane node first.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        std::iter::once("cp".to_owned())
            .chain((1..=self.workers).map(|index| format!("w{index}")))
            .collect()
    }

    /// The names of the hosts on the LAN that are no members.
    #[must_use]
    pub fn client_names(&self) -> Vec<String> {
        (1..=self.clients).map(|index| format!("client{index}")).collect()
    }

    /// The network namespace of a node, of a client, or of the bridges (`lan`).
    #[must_use]
    pub fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }
}
