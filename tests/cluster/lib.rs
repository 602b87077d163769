//! A whole Kubernetes in network namespaces, every part of it real: etcd, the API server, the controller manager and the
//! scheduler; on each node kubelet, containerd, a CNI bridge and kube-proxy. Hosts on the LAN that are no members of the cluster
//! are its clients.
//!
//! ```text
//!   this machine          NAME-cp               NAME-w1 …            NAME-client1
//!   kubectl, helm ──► supervisor ─► API server   kubelet, pods        curl, arping
//!                              eth0 │              eth0 │               eth0 │
//!                        ───────────┴──── bridge in NAME-lan ───────────────┴───
//! ```
//!
//! Nothing leaves the machine: even the bridge lives in a namespace of its own. Several clusters run side by side with the same
//! addresses. A cluster goes when its [`Cluster`] is dropped and when the process that made it dies, however it dies: its
//! supervisor notices and takes everything down.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "this crate drives real processes against the real clock; its waits are for conditions (wait_until)"
)]

mod announced_service;
mod binaries;
mod capture;
mod client;
mod cluster;
mod control_plane;
mod image;
mod link_faults;
mod lodestone;
mod machine;
mod netns;
mod network;
mod node;
mod pki;
mod process;
mod spec;
mod state_dir;
mod supervisor;
mod teardown;
mod wait;

pub use announced_service::Announced;
pub use binaries::Binaries;
pub use capture::Recorded;
pub use client::Answer;
pub use cluster::Cluster;
pub use image::{Image, LODESTONE_VERSION};
pub use link_faults::{Loss, PodProcess};
pub use lodestone::{NAMESPACE, checkout, images};
pub use netns::Netns;
pub use network::{LAN_POOL, LAN_POOL_IPV6, NodeAddresses};
pub use process::{Tool, run};
pub use spec::{Layout, Layout as Topology, ProxyMode, Spec};
pub use state_dir::{StateDir, list};
pub use supervisor::supervise;
pub use teardown::{sweep, take_down};
pub use wait::{wait_for, wait_until};
