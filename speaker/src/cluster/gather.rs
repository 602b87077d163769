//! Watches everything that the speaker looks at, and tells it as whole facts.

use std::{
    collections::{BTreeMap, HashSet, btree_map::Entry},
    net::IpAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt, StreamExt,
    future::{Either, select},
    stream::{BoxStream, SelectAll},
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client, ResourceExt, runtime::watcher};
use lodestone_crds::{Config, Family, IPAddressPool, L2Advertisement, ObjectKey, Resources};
use lodestone_runtime::{
    clock,
    k8s::{
        decode_guard::Guarded,
        node::SlimNode,
        service::SlimService,
        watch::{WatchEvent, changes},
    },
    readiness::Gate,
};
use tokio::{sync::watch, time::sleep_until};

use super::view::{ServiceView, SliceView, node};
use crate::{
    core::facts::{Endpoints, Facts, Node, Recorded, Tenant},
    wire::message::NodeName,
};

/// What the API server told.
enum Told {
    Service(WatchEvent<(ObjectKey, Option<(ServiceView, String)>)>),
    Slice(WatchEvent<(ObjectKey, Option<SliceView>)>),
    Node(WatchEvent<(NodeName, Node)>),
    Pool(WatchEvent<IPAddressPool>),
    L2Advertisement(WatchEvent<L2Advertisement>),
}

const KINDS: usize = 5;

/// How long new facts wait after the last ones, for each Service that there is: telling them costs about a tenth of it, all in all.
const PAUSE: Duration = Duration::from_micros(20);

/// Everything that was told.
#[derive(Default)]
pub struct Gatherer {
    class: String,
    ignore_exclude_label: bool,
    recorded: Recorded,
    services: BTreeMap<ObjectKey, ServiceView>,
    slices: BTreeMap<ObjectKey, SliceView>,
    nodes: BTreeMap<NodeName, Node>,
    pools: BTreeMap<String, IPAddressPool>,
    l2_advertisements: BTreeMap<String, L2Advertisement>,
    config: Arc<Config>,
    synced: HashSet<&'static str>,
}

/// What was gathered, for the two that use it.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// For the core.
    pub facts: watch::Sender<Option<Arc<Facts>>>,
    /// The uids of the Services that have addresses of ours, for events.
    pub uids: watch::Sender<BTreeMap<ObjectKey, String>>,
}

impl Gatherer {
    /// Knows nothing yet but the flags `--lb-class` and `--ignore-exclude-lb`, and who owned what at the start.
    #[must_use]
    pub fn new(class: String, ignore_exclude_label: bool, recorded: Recorded) -> Self {
        Self {
            class,
            ignore_exclude_label,
            recorded,
            ..Self::default()
        }
    }

    /// Watches for ever.
    pub async fn run(mut self, client: Client, namespace: String, gathered: Gathered, ready: Gate) {
        let mut told = watches(&client, &namespace, &self.class);
        let mut ready = Some(ready);
        let mut due = clock::now();
        while let Some(change) = told.next().await {
            self.take(change, &gathered);
            // What comes in quick succession is taken in one go.
            let mut pause = pin!(sleep_until(due.into()));
            while let Either::Left((Some(change), _)) = select(told.next(), &mut pause).await {
                self.take(change, &gathered);
            }
            while let Some(Some(change)) = told.next().now_or_never() {
                self.take(change, &gathered);
            }
            if self.synced.len() < KINDS {
                continue;
            }
            if let Some(gate) = ready.take() {
                tracing::info!(
                    services = self.services.len(),
                    nodes = self.nodes.len(),
                    "the API server has told everything"
                );
                gate.open();
            }
            let last = gathered.facts.borrow().clone().unwrap_or_default();
            let facts = Arc::new(self.facts(&last));
            due = clock::now() + PAUSE.saturating_mul(u32::try_from(self.services.len()).unwrap_or(u32::MAX));
            gathered.facts.send_if_modified(|known| {
                let changed = known.as_ref() != Some(&facts);
                *known = Some(facts);
                changed
            });
        }
    }

    fn take(&mut self, told: Told, gathered: &Gathered) {
        match told {
            Told::Service(change) => {
                gathered.uids.send_if_modified(|uids| follow_uid(uids, &change));
                let change = change.map(|(key, view)| (key, view.map(|(view, _)| view)));
                self.synced.extend(follow_some(&mut self.services, "Service", change));
            }
            Told::Slice(change) => self
                .synced
                .extend(follow_some(&mut self.slices, "EndpointSlice", change)),
            Told::Node(change) => match change {
                WatchEvent::Applied((name, node)) => drop(self.nodes.insert(name, node)),
                WatchEvent::Gone(key) => drop(self.nodes.remove(key.name.as_str())),
                WatchEvent::Undecodable(key, error) => tracing::warn!(node = %key, error, "this Node can't be read"),
                WatchEvent::Synced => drop(self.synced.insert("Node")),
            },
            Told::Pool(change) => {
                self.synced
                    .extend(follow_named(&mut self.pools, "IPAddressPool", change));
                self.rebuild();
            }
            Told::L2Advertisement(change) => {
                self.synced
                    .extend(follow_named(&mut self.l2_advertisements, "L2Advertisement", change));
                self.rebuild();
            }
        }
    }

    fn rebuild(&mut self) {
        if self.synced.contains("IPAddressPool") && self.synced.contains("L2Advertisement") {
            let config = Config::build(&Resources {
                pools: self.pools.values().cloned().collect(),
                l2_advertisements: self.l2_advertisements.values().cloned().collect(),
                undecodable: vec![],
            });
            for refusal in config
                .refused
                .iter()
                .filter(|refusal| !self.config.refused.contains(refusal))
            {
                tracing::warn!("{refusal}");
            }
            self.config = Arc::new(config);
        }
    }

    /// Everything as it is now. What is as it was in `last` is shared with that: there are thousands of addresses, and one of them changes.
    fn facts(&self, last: &Facts) -> Facts {
        // An address is served by endpoints of its family; a slice of host names says nothing of families.
        let mut endpoints: BTreeMap<(&ObjectKey, Family), Arc<Endpoints>> = BTreeMap::new();
        for slice in self.slices.values() {
            let families = slice
                .family
                .map_or_else(|| vec![Family::V4, Family::V6], |family| vec![family]);
            for family in families {
                match endpoints.entry((&slice.service, family)) {
                    Entry::Vacant(place) => drop(place.insert(slice.endpoints.clone())),
                    Entry::Occupied(mut all) => Arc::make_mut(all.get_mut()).add(&slice.endpoints),
                }
            }
        }
        let mut addresses: BTreeMap<IpAddr, Vec<Tenant>> = BTreeMap::new();
        for (key, service) in &self.services {
            for address in &service.addresses {
                let family = Family::of(*address);
                addresses.entry(*address).or_default().push(Tenant {
                    service: key.clone(),
                    labels: service.labels.clone(),
                    local: service.local,
                    shares: service.shares,
                    pool: service.pool.clone(),
                    endpoints: endpoints.get(&(key, family)).cloned().unwrap_or_default(),
                });
            }
        }
        let shared = addresses.into_iter().map(|(address, tenants)| {
            let same = last.addresses.get(&address).filter(|known| ***known == tenants);
            (address, same.cloned().unwrap_or_else(|| Arc::new(tenants)))
        });
        Facts {
            nodes: self.nodes.clone(),
            addresses: shared.collect(),
            config: self.config.clone(),
            recorded: self.recorded.clone(),
            ignore_exclude_label: self.ignore_exclude_label,
        }
    }
}

/// Takes in a change of objects of which some are of no interest. Gives back the kind when all of them have been told.
fn follow_some<V>(
    known: &mut BTreeMap<ObjectKey, V>,
    kind: &'static str,
    change: WatchEvent<(ObjectKey, Option<V>)>,
) -> Option<&'static str> {
    match change {
        WatchEvent::Applied((key, Some(view))) => drop(known.insert(key, view)),
        WatchEvent::Applied((key, None)) | WatchEvent::Gone(key) => drop(known.remove(&key)),
        WatchEvent::Undecodable(key, error) => tracing::warn!(kind, %key, error, "this object can't be read"),
        WatchEvent::Synced => return Some(kind),
    }
    None
}

/// Takes in the uid of a Service. Gives back whether anything has changed.
fn follow_uid(
    uids: &mut BTreeMap<ObjectKey, String>,
    change: &WatchEvent<(ObjectKey, Option<(ServiceView, String)>)>,
) -> bool {
    match change {
        WatchEvent::Applied((key, Some((_, uid)))) => {
            uids.get(key) != Some(uid) && uids.insert(key.clone(), uid.clone()).as_ref() != Some(uid)
        }
        WatchEvent::Applied((key, None)) | WatchEvent::Gone(key) => uids.remove(key).is_some(),
        WatchEvent::Undecodable(..) | WatchEvent::Synced => false,
    }
}

/// Takes in a change of configuration. One that can't be read is not in use.
fn follow_named<K: kube::Resource>(
    known: &mut BTreeMap<String, K>,
    kind: &'static str,
    change: WatchEvent<K>,
) -> Option<&'static str> {
    match change {
        WatchEvent::Applied(mut object) => {
            object.meta_mut().managed_fields = None;
            known.insert(object.name_any(), object);
        }
        WatchEvent::Gone(key) => drop(known.remove(&key.name)),
        WatchEvent::Undecodable(key, error) => {
            tracing::warn!(kind, %key, error, "this object can't be read");
            known.remove(&key.name);
        }
        WatchEvent::Synced => return Some(kind),
    }
    None
}

fn watches(client: &Client, namespace: &str, class: &str) -> SelectAll<BoxStream<'static, Told>> {
    let class: Arc<str> = class.into();
    let all = watcher::Config::default;
    let services = changes(Api::<Guarded<SlimService>>::all(client.clone()), all()).map(move |change| {
        Told::Service(change.map(|service| {
            let view = ServiceView::new(&service, &class);
            (
                ObjectKey::of(&service),
                view.map(|view| (view, service.uid().unwrap_or_default())),
            )
        }))
    });
    let slices = changes(Api::<Guarded<EndpointSlice>>::all(client.clone()), all())
        .map(|change| Told::Slice(change.map(|slice| (ObjectKey::of(&slice), SliceView::new(&slice)))));
    let nodes = changes(Api::<Guarded<SlimNode>>::all(client.clone()), all())
        .map(|change| Told::Node(change.map(|object| node(&object))));
    let pools = changes(
        Api::<Guarded<IPAddressPool>>::namespaced(client.clone(), namespace),
        all(),
    );
    let ads = changes(
        Api::<Guarded<L2Advertisement>>::namespaced(client.clone(), namespace),
        all(),
    );
    let mut told = SelectAll::new();
    told.push(services.boxed());
    told.push(slices.boxed());
    told.push(nodes.boxed());
    told.push(pools.map(Told::Pool).boxed());
    told.push(ads.map(Told::L2Advertisement).boxed());
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_is_served_by_the_endpoints_of_its_family() {
        let mut gatherer = Gatherer::default();
        let service = json!({
            "metadata": {"name": "a", "namespace": "n"}, "spec": {"type": "LoadBalancer"},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}]}},
        });
        let service = ServiceView::new(&serde_json::from_value(service).unwrap(), "").unwrap();
        gatherer.services.insert(ObjectKey::new("n", "a"), service);
        for (family, node) in [("IPv4", "w1"), ("IPv6", "w2"), ("FQDN", "w3")] {
            let slice = json!({
                "metadata": {"name": family, "namespace": "n", "labels": {"kubernetes.io/service-name": "a"}}, "addressType": family,
                "endpoints": [{"addresses": ["some"], "nodeName": node}],
            });
            let slice = SliceView::new(&serde_json::from_value(slice).unwrap()).unwrap();
            gatherer.slices.insert(ObjectKey::new("n", family), slice);
        }
        let facts = gatherer.facts(&Facts::default());
        let nodes = |address: &str| {
            let nodes = &facts.addresses[&address.parse::<IpAddr>().unwrap()][0].endpoints.nodes;
            nodes.iter().map(|node| node.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            (nodes("192.0.2.1"), nodes("2001:db8::1")),
            (vec!["w1".into(), "w3".into()], vec!["w2".into(), "w3".to_owned()])
        );
    }
}
