//! Tests of several speakers that exchange messages, and of one speaker as a whole.

mod arbitrary_input;
mod conflicts;
mod deputy;
mod disagreement;
mod failure_detection;
mod handover;
mod interfaces;
mod membership;
mod restart;
mod services;
mod shutdown;
mod startup;
mod takeover;
mod virtual_cluster;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use lodestone_crds::ObjectKey;

use super::Speaker;
use crate::{
    cluster_snapshot::{ClusterSnapshot, Endpoints, ServiceOnAddress},
    event::Event,
    liveness::adaptive_timeout::HEARTBEAT_INTERVAL,
    output::Output,
    settings::{ConflictDetectionMode, DeputyMode, OwnershipMode, Settings},
    testing::{self, ADDRESS, ethernet},
    types::{BootId, Epoch, InterfaceIndex, MacAddr, NodeName},
    wire::{
        FrameKind, arp,
        message::{Claim, Datagram, Message},
        ndp,
    },
};
use virtual_cluster::VirtualCluster;

/// An IPv6 address in the pool of the fixture.
const IPV6_ADDRESS: &str = "2001:db8::56";

/// How far the virtual clock advances at a time.
const STEP: Duration = Duration::from_millis(10);

/// What [`VirtualCluster::owners`] returns for an address that no node announces.
const NOBODY: [NodeName; 0] = [];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

/// The Service on [`ADDRESS`].
fn service(snapshot: &mut ClusterSnapshot) -> &mut ServiceOnAddress {
    let services = snapshot.addresses.get_mut(&ip(ADDRESS)).unwrap();
    &mut Arc::make_mut(services)[0]
}

/// The snapshot with traffic policy Local and endpoints on these nodes only.
fn with_local_endpoints(snapshot: &ClusterSnapshot, nodes: &[&NodeName]) -> ClusterSnapshot {
    let mut snapshot = snapshot.clone();
    let service = service(&mut snapshot);
    service.local = true;
    service.endpoints = Arc::new(Endpoints {
        nodes: nodes.iter().copied().cloned().collect(),
        ..Endpoints::default()
    });
    snapshot
}
