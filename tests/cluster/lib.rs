//! A complete Kubernetes cluster in network namespaces of one machine, for the end-to-end tests.
//!
//! Every component is real. The control-plane node runs etcd, the API server, the controller
//! manager and the scheduler. Each node runs kubelet, containerd, a CNI bridge and kube-proxy.
//! Hosts on the LAN outside the cluster act as clients.
//!
//! ```text
//!   this machine          NAME-cp               NAME-w1 …            NAME-client1
//!   kubectl, helm ──► supervisor ─► API server   kubelet, pods        curl, arping
//!                              eth0 │              eth0 │               eth0 │
//!                        ───────────┴──── bridge in NAME-lan ───────────────┴───
//! ```
//!
//! No packet leaves the machine: even the bridge has a namespace of its own. Several clusters can
//! therefore run side by side with the same addresses.
//!
//! A cluster ends when its [`Cluster`] is dropped. If the process that created it dies in any other
//! way, a supervisor process notices and takes everything down.
//!
//! | To | Use |
//! |---|---|
//! | choose the networks and the number of hosts | [`Spec`], [`Layout`], [`ProxyMode`] |
//! | start a cluster and talk to its API server | [`Cluster`] |
//! | install Lodestone | [`Cluster::install_lodestone`], [`Cluster::apply_quickstart`] |
//! | see what a client on the LAN sees | [`Netns`], [`Cluster::owner_of`], [`AnnouncedService`] |
//! | break something | [`LossRule`], [`Direction`], [`PodProcess`], [`Cluster::power_off`], [`Cluster::partition`] |
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "this crate drives real processes against the real clock; its waits are for conditions (wait_until)"
)]

mod announced_service;
mod binaries;
mod bring_up;
mod capture;
mod cgroups;
mod client;
mod cluster;
mod control_plane;
mod image;
mod link_faults;
mod lodestone;
mod machine;
mod netns;
mod network;
mod network_setup;
mod node;
mod node_config;
mod observe;
mod overlay;
mod pcap;
mod pki;
mod pod_process;
mod power;
mod process;
mod spec;
mod state_dir;
mod supervisor;
mod teardown;
mod tool;
mod wait;

pub use announced_service::AnnouncedService;
pub use binaries::Binaries;
pub use capture::RecordedDatagram;
pub use client::ServerAnswer;
pub use cluster::Cluster;
pub use image::{Image, LODESTONE_VERSION};
pub use link_faults::{Direction, LossRule};
pub use lodestone::{NAMESPACE, checkout, images};
pub use netns::Netns;
pub use network::{LAN_POOL, LAN_POOL_IPV6, NodeAddresses};
pub use overlay::OVERLAY_INTERFACE;
pub use pcap::{CapturedFrame, read_frames};
pub use pod_process::PodProcess;
pub use spec::{Layout, ProxyMode, Spec};
pub use state_dir::{StateDir, list_clusters};
pub use supervisor::supervise;
pub use teardown::take_down;
pub use tool::{Tool, run};
pub use wait::{wait_for, wait_until};
