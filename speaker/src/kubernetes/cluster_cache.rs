//! The objects that the watches have reported, and the snapshots built from them.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use kube::ResourceExt;
use lodestone_crds::{Config, Family, IPAddressPool, L2Advertisement, ObjectKey, ResourceChange, Resources};
use lodestone_speaker_core::{
    NodeName,
    cluster_snapshot::{ClusterSnapshot, Endpoints, Node, RecordedOwners, ServiceOnAddress},
};

use super::views::{AddressedService, SliceView};

/// A Service of this load balancer with its UID; `None` if the Service is of no interest.
pub(super) type ServiceWithUid = Option<(AddressedService, String)>;

/// A change of one of the watched kinds.
#[derive(Debug)]
pub(super) enum ClusterChange {
    Service(ResourceChange<(ObjectKey, ServiceWithUid)>),
    /// `None` if the slice belongs to no Service.
    EndpointSlice(ResourceChange<(ObjectKey, Option<SliceView>)>),
    Node(ResourceChange<(NodeName, Node)>),
    Pool(ResourceChange<IPAddressPool>),
    L2Advertisement(ResourceChange<L2Advertisement>),
}

impl ClusterChange {
    const fn watch(&self) -> SpeakerWatch {
        match self {
            Self::Service(_) => SpeakerWatch::Service,
            Self::EndpointSlice(_) => SpeakerWatch::EndpointSlice,
            Self::Node(_) => SpeakerWatch::Node,
            Self::Pool(_) => SpeakerWatch::Pool,
            Self::L2Advertisement(_) => SpeakerWatch::L2Advertisement,
        }
    }

    /// Whether this is the end of a list.
    const fn is_synced(&self) -> bool {
        matches!(
            self,
            Self::Service(ResourceChange::Synced)
                | Self::EndpointSlice(ResourceChange::Synced)
                | Self::Node(ResourceChange::Synced)
                | Self::Pool(ResourceChange::Synced)
                | Self::L2Advertisement(ResourceChange::Synced)
        )
    }
}

/// One of the speaker's watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SpeakerWatch {
    Service,
    EndpointSlice,
    Node,
    Pool,
    L2Advertisement,
}

impl SpeakerWatch {
    pub(super) const ALL: [Self; 5] = [
        Self::Service,
        Self::EndpointSlice,
        Self::Node,
        Self::Pool,
        Self::L2Advertisement,
    ];

    /// The kind of the objects.
    const fn kind(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Node => "Node",
            Self::Pool => "IPAddressPool",
            Self::L2Advertisement => "L2Advertisement",
        }
    }
}

/// Everything that the watches have reported.
#[derive(Debug, Default)]
pub(super) struct ClusterCache {
    /// Whether nodes with the label `exclude-from-external-load-balancers` may announce.
    ignore_exclude_label: bool,
    /// Which nodes announced each Service before this speaker started.
    recorded: RecordedOwners,
    services: BTreeMap<ObjectKey, AddressedService>,
    slices: BTreeMap<ObjectKey, SliceView>,
    nodes: BTreeMap<NodeName, Node>,
    pools: BTreeMap<String, IPAddressPool>,
    l2_advertisements: BTreeMap<String, L2Advertisement>,
    /// The configuration of all pools and advertisements.
    config: Arc<Config>,
    /// The watches whose first list is complete.
    synced: BTreeSet<SpeakerWatch>,
}

impl ClusterCache {
    /// Knows nothing yet, apart from a flag and the recorded owners.
    pub(super) fn new(ignore_exclude_label: bool, recorded: RecordedOwners) -> Self {
        Self {
            ignore_exclude_label,
            recorded,
            ..Self::default()
        }
    }

    /// Whether the first list of every watch is complete.
    pub(super) fn is_synced(&self) -> bool {
        SpeakerWatch::ALL.iter().all(|watch| self.synced.contains(watch))
    }

    /// How many Services and nodes there are.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.services.len(), self.nodes.len())
    }

    /// Applies a change.
    pub(super) fn apply(&mut self, change: ClusterChange) {
        let watch = change.watch();
        if change.is_synced() {
            self.synced.insert(watch);
        }
        match change {
            ClusterChange::Service(event) => {
                let event = event.map(|(key, service)| (key, service.map(|(service, _)| service)));
                apply_optional(&mut self.services, watch, event);
            }
            ClusterChange::EndpointSlice(event) => apply_optional(&mut self.slices, watch, event),
            ClusterChange::Node(event) => apply_node(&mut self.nodes, event),
            ClusterChange::Pool(event) => {
                apply_configuration(&mut self.pools, watch, event);
                self.rebuild_config();
            }
            ClusterChange::L2Advertisement(event) => {
                apply_configuration(&mut self.l2_advertisements, watch, event);
                self.rebuild_config();
            }
        }
    }

    /// Builds the configuration again, once both of its sources have synced. Logs new refusals.
    fn rebuild_config(&mut self) {
        let sources = [SpeakerWatch::Pool, SpeakerWatch::L2Advertisement];
        if !sources.iter().all(|watch| self.synced.contains(watch)) {
            return;
        }
        let config = Config::build(&Resources {
            pools: self.pools.values().cloned().collect(),
            l2_advertisements: self.l2_advertisements.values().cloned().collect(),
            undecodable: vec![],
        });
        let old = &self.config.refused;
        for refusal in config.refused.iter().filter(|refusal| !old.contains(refusal)) {
            tracing::warn!("{refusal}");
        }
        self.config = Arc::new(config);
    }

    /// Builds a snapshot. It shares unchanged entries with `last`, because there may be thousands
    /// of addresses and usually one of them has changed.
    pub(super) fn snapshot(&self, last: &ClusterSnapshot) -> ClusterSnapshot {
        let endpoints = self.endpoints();
        let mut addresses: BTreeMap<IpAddr, Vec<ServiceOnAddress>> = BTreeMap::new();
        for (key, service) in &self.services {
            for address in &service.addresses {
                let family = Family::of(*address);
                addresses.entry(*address).or_default().push(ServiceOnAddress {
                    service: key.clone(),
                    labels: service.labels.clone(),
                    local: service.local,
                    shares: service.shares,
                    pool: service.pool.clone(),
                    endpoints: endpoints.get(&(key, family)).cloned().unwrap_or_default(),
                });
            }
        }
        let shared = addresses.into_iter().map(|(address, services)| {
            let same = last.addresses.get(&address).filter(|known| ***known == services);
            (address, same.cloned().unwrap_or_else(|| Arc::new(services)))
        });
        ClusterSnapshot {
            nodes: self.nodes.clone(),
            addresses: shared.collect(),
            config: self.config.clone(),
            recorded: self.recorded.clone(),
            ignore_exclude_label: self.ignore_exclude_label,
        }
    }

    /// Merges the slices of each Service and family. Only endpoints of its own family serve an
    /// address. A slice of host names counts for both families.
    fn endpoints(&self) -> BTreeMap<(&ObjectKey, Family), Arc<Endpoints>> {
        let mut endpoints: BTreeMap<_, Arc<Endpoints>> = BTreeMap::new();
        for slice in self.slices.values() {
            let families = slice
                .family
                .map_or_else(|| vec![Family::V4, Family::V6], |family| vec![family]);
            for family in families {
                match endpoints.entry((&slice.service, family)) {
                    Entry::Vacant(entry) => drop(entry.insert(slice.endpoints.clone())),
                    Entry::Occupied(mut merged) => Arc::make_mut(merged.get_mut()).add(&slice.endpoints),
                }
            }
        }
        endpoints
    }
}

/// Applies a change to the UIDs of the Services of this load balancer. Returns whether a UID has
/// changed.
pub(super) fn apply_uid(uids: &mut BTreeMap<ObjectKey, String>, change: &ClusterChange) -> bool {
    let ClusterChange::Service(event) = change else {
        return false;
    };
    match event {
        ResourceChange::Applied((key, Some((_, uid)))) => uids.insert(key.clone(), uid.clone()).as_ref() != Some(uid),
        ResourceChange::Applied((key, None)) | ResourceChange::Gone(key) => uids.remove(key).is_some(),
        ResourceChange::Undecodable(..) | ResourceChange::Synced => false,
    }
}

/// Applies a change of a kind of which only some objects are of interest. An object that cannot be
/// decoded keeps its last state.
fn apply_optional<V>(
    known: &mut BTreeMap<ObjectKey, V>,
    watch: SpeakerWatch,
    event: ResourceChange<(ObjectKey, Option<V>)>,
) {
    match event {
        ResourceChange::Applied((key, Some(view))) => drop(known.insert(key, view)),
        ResourceChange::Applied((key, None)) | ResourceChange::Gone(key) => drop(known.remove(&key)),
        ResourceChange::Undecodable(key, error) => warn_undecodable(watch, &key, &error),
        ResourceChange::Synced => {}
    }
}

/// Applies a change of a Node. A Node that cannot be decoded keeps its last state.
fn apply_node(known: &mut BTreeMap<NodeName, Node>, event: ResourceChange<(NodeName, Node)>) {
    match event {
        ResourceChange::Applied((name, node)) => drop(known.insert(name, node)),
        ResourceChange::Gone(key) => drop(known.remove(&NodeName::from(key.name()))),
        ResourceChange::Undecodable(key, error) => warn_undecodable(SpeakerWatch::Node, &key, &error),
        ResourceChange::Synced => {}
    }
}

/// Applies a change of configuration. An object that cannot be decoded is not in use.
fn apply_configuration<K: kube::Resource>(
    known: &mut BTreeMap<String, K>,
    watch: SpeakerWatch,
    event: ResourceChange<K>,
) {
    match event {
        ResourceChange::Applied(mut object) => {
            object.meta_mut().managed_fields = None;
            known.insert(object.name_any(), object);
        }
        ResourceChange::Gone(key) => drop(known.remove(key.name())),
        ResourceChange::Undecodable(key, error) => {
            warn_undecodable(watch, &key, &error);
            known.remove(key.name());
        }
        ResourceChange::Synced => {}
    }
}

fn warn_undecodable(watch: SpeakerWatch, key: &ObjectKey, error: &str) {
    tracing::warn!(kind = watch.kind(), %key, error, "cannot decode an object");
}

#[cfg(test)]
mod tests;
