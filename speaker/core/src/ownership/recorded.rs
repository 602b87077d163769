//! The owners that the API server remembers from before this speaker started.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{cluster_snapshot::ClusterSnapshot, types::NodeName};

/// How long after the start a record counts. A cluster in which all nodes restart needs minutes.
/// After that, a foreign host may have got an address that nobody announced.
const RECORD_LIFETIME: Duration = Duration::from_secs(300);

/// The nodes that announced each address when this speaker started.
///
/// ServiceL2Status names the Service and not its addresses. So an address that the Service gets
/// later must not count as announced before. Only those of the first snapshot do, and each only
/// until a node claims it.
#[derive(Clone, Debug)]
pub(super) struct RecordedAddresses {
    nodes: BTreeMap<IpAddr, BTreeSet<NodeName>>,
    until: Instant,
}

impl RecordedAddresses {
    /// The records for the addresses in the first snapshot.
    pub(super) fn at_start(now: Instant, snapshot: &ClusterSnapshot) -> Self {
        let recorded = |address: &IpAddr| {
            let services = snapshot.services_on(*address);
            let nodes = services.filter_map(|service| snapshot.recorded.get(&service.service));
            (*address, nodes.flatten().cloned().collect())
        };
        Self {
            nodes: snapshot.addresses.keys().map(recorded).collect(),
            until: now + RECORD_LIFETIME,
        }
    }

    /// Whether a node announced an address. It is false if that is not known, or no longer of use.
    pub(super) fn contains(&self, now: Instant, address: IpAddr, node: &NodeName) -> bool {
        let nodes = self.nodes.get(&address).filter(|_| now < self.until);
        nodes.is_some_and(|nodes| nodes.contains(node))
    }

    /// Forgets an address, because a node has claimed it.
    pub(super) fn consume(&mut self, address: IpAddr) {
        self.nodes.remove(&address);
    }

    /// Forgets the addresses that have lost their Services.
    pub(super) fn retain(&mut self, used: impl Fn(IpAddr) -> bool) {
        self.nodes.retain(|address, _| used(*address));
    }
}
