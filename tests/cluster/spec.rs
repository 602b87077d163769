//! The parameters of a cluster: how many hosts it has, and on which networks.

use std::{collections::BTreeSet, path::PathBuf};

/// A property of the networks of a cluster. Properties can be combined ([`Spec::layout`]).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    clap::ValueEnum,
)]
pub enum Layout {
    /// Each node has one interface, `eth0`: the LAN is also the node network. Adds nothing to other
    /// layouts.
    #[default]
    Flat,
    /// The node network is not the LAN: each node has `eth0` on the node network and `lan0` on the
    /// LAN.
    Split,
    /// Pods of different nodes talk through a tunnel. Its device, `vxlan.lodestone`, has a MAC and
    /// an address of its own on each node, and forwards no broadcast.
    Overlay,
    /// All nodes share a second network, on `eth1`. Neither Kubernetes nor any client uses it.
    Storage,
    /// Each node has a second port in the switch of the LAN, `port2`, without an address.
    SecondPort,
    /// Each node has a second port in the switch of the LAN, `port2`, with an address of its own
    /// there.
    SecondPortWithAddress,
    /// The interface on the LAN is a port of a bridge, `br0`, which has the addresses.
    Bridge,
}

/// How kube-proxy forwards packets for a Service to its pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
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

/// The parameters of a cluster.
///
/// Start with [`Spec::new`] or [`Spec::unique`], then change what the test needs:
///
/// ```
/// use lodestone_tests::{Layout, Spec};
///
/// let spec = Spec::unique("split").layout(Layout::Split).workers(5).clients(2);
/// assert_eq!(spec.nodes().len(), 6);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Spec {
    /// The prefix of the cluster's network namespaces, and the name of its directory. Keep it
    /// short: the path of a Unix socket has at most 107 bytes.
    pub(crate) name: String,
    /// The properties of the networks, without [`Layout::Flat`].
    pub(crate) layouts: BTreeSet<Layout>,
    /// The mode of every kube-proxy.
    pub(crate) proxy_mode: ProxyMode,
    /// The number of workers, besides the control-plane node.
    pub(crate) workers: u8,
    /// The number of hosts on the LAN outside the cluster.
    pub(crate) clients: u8,
    /// Archives of container images to import on every node.
    pub(crate) images: Vec<PathBuf>,
    /// Whether the supervisor takes the cluster down when the process that created it exits.
    pub(crate) owned: bool,
}

impl Spec {
    /// A cluster with the flat layout, three workers and one client. Its nodes have no images,
    /// kube-proxy uses nftables, and the cluster ends with the process that creates it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            layouts: BTreeSet::new(),
            proxy_mode: ProxyMode::Nftables,
            workers: 3,
            clients: 1,
            images: Vec::new(),
            owned: true,
        }
    }

    /// Like [`Self::new`], with the process ID appended to the name: test binaries that run side by
    /// side do not collide.
    #[must_use]
    pub fn unique(prefix: &str) -> Self {
        Self::new(&format!("{prefix}{}", std::process::id()))
    }

    /// Adds a property to the networks.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        if layout != Layout::Flat {
            self.layouts.insert(layout);
        }
        self
    }

    /// Whether the networks have this property. [`Layout::Flat`] means that they have no other.
    #[must_use]
    pub fn has(&self, layout: Layout) -> bool {
        match layout {
            Layout::Flat => self.layouts.is_empty(),
            other => self.layouts.contains(&other),
        }
    }

    /// Sets the mode of every kube-proxy.
    #[must_use]
    pub const fn proxy_mode(mut self, mode: ProxyMode) -> Self {
        self.proxy_mode = mode;
        self
    }

    /// Sets the number of workers, besides the control-plane node.
    #[must_use]
    pub const fn workers(mut self, count: u8) -> Self {
        self.workers = count;
        self
    }

    /// Sets the number of hosts on the LAN outside the cluster.
    #[must_use]
    pub const fn clients(mut self, count: u8) -> Self {
        self.clients = count;
        self
    }

    /// Sets the archives of container images to import on every node.
    #[must_use]
    pub fn images(mut self, archives: Vec<PathBuf>) -> Self {
        self.images = archives;
        self
    }

    /// Lets the cluster outlive the process that creates it: only `cluster down` ends it.
    #[must_use]
    pub const fn detached(mut self) -> Self {
        self.owned = false;
        self
    }

    /// The prefix of the cluster's network namespaces, and the name of its directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the nodes, the control-plane node first: `cp`, `w1`, `w2`, ...
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        std::iter::once("cp".to_owned())
            .chain((1..=self.workers).map(|index| format!("w{index}")))
            .collect()
    }

    /// The names of the hosts on the LAN outside the cluster: `client1`, `client2`, ...
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
