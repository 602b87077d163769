//! Watches everything that the speaker needs, and publishes it as whole snapshots.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use futures::{
    FutureExt, StreamExt,
    future::{Either, select},
    stream::{BoxStream, SelectAll},
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client, ResourceExt, runtime::watcher};
use lodestone_crds::{IPAddressPool, L2Advertisement, ObjectKey, ResourceChange};
use lodestone_runtime::{
    clock,
    k8s::{decode_guard::Guarded, node::SlimNode, service::SlimService, watch::changes},
    readiness::Gate,
};
use lodestone_speaker_core::{ClusterSnapshot, RecordedOwners};
use tokio::{sync::watch, time::sleep_until};

use super::{
    cluster_cache::{ClusterCache, ClusterChange, apply_uid},
    views::{AddressedService, SliceView, node},
};

/// The least time between two snapshots, for each Service. Building a snapshot takes about a tenth
/// of it for each Service, so snapshots take at most about a tenth of the time.
const PAUSE_PER_SERVICE: Duration = Duration::from_micros(20);

/// Watches the cluster.
pub(crate) struct ClusterWatcher {
    /// The value of the flag `--lb-class`.
    class: String,
    cache: ClusterCache,
}

/// The channels that the watcher publishes on.
#[derive(Debug)]
pub(crate) struct WatcherOutputs {
    /// The snapshots for the core.
    pub(crate) snapshots: watch::Sender<Option<Arc<ClusterSnapshot>>>,
    /// The UIDs of the Services of this load balancer, for events.
    pub(crate) uids: watch::Sender<BTreeMap<ObjectKey, String>>,
}

impl ClusterWatcher {
    /// `class` and `ignore_exclude_label` are the values of flags. `recorded` is which nodes
    /// announced each Service before this speaker started.
    #[must_use]
    pub(crate) fn new(class: String, ignore_exclude_label: bool, recorded: RecordedOwners) -> Self {
        Self {
            class,
            cache: ClusterCache::new(ignore_exclude_label, recorded),
        }
    }

    /// Watches and publishes; it never ends. Opens `synced` after the first list of every watch.
    pub(crate) async fn run(mut self, client: Client, namespace: String, outputs: WatcherOutputs, synced: Gate) {
        let mut changes = watch_all(&client, &namespace, &self.class);
        let mut synced = Some(synced);
        let mut next_snapshot = clock::now();
        while let Some(change) = changes.next().await {
            self.handle(change, &outputs);
            // Changes in quick succession go into one snapshot.
            let mut pause = pin!(sleep_until(next_snapshot.into()));
            while let Either::Left((Some(change), _)) = select(changes.next(), &mut pause).await {
                self.handle(change, &outputs);
            }
            while let Some(Some(change)) = changes.next().now_or_never() {
                self.handle(change, &outputs);
            }
            if !self.cache.is_synced() {
                continue;
            }
            let (services, nodes) = self.cache.sizes();
            if let Some(gate) = synced.take() {
                tracing::info!(services, nodes, "initial sync complete");
                gate.open();
            }
            self.publish(&outputs);
            let services = u32::try_from(services).unwrap_or(u32::MAX);
            next_snapshot = clock::now() + PAUSE_PER_SERVICE.saturating_mul(services);
        }
    }

    fn handle(&mut self, change: ClusterChange, outputs: &WatcherOutputs) {
        outputs.uids.send_if_modified(|uids| apply_uid(uids, &change));
        self.cache.apply(change);
    }

    /// Publishes a snapshot, if it differs from the last one.
    fn publish(&self, outputs: &WatcherOutputs) {
        let last = outputs.snapshots.borrow().clone().unwrap_or_default();
        let snapshot = Arc::new(self.cache.snapshot(&last));
        outputs.snapshots.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&snapshot);
            *known = Some(snapshot);
            changed
        });
    }
}

/// Starts a watch of each kind and merges the changes.
fn watch_all(client: &Client, namespace: &str, class: &str) -> SelectAll<BoxStream<'static, ClusterChange>> {
    let class: Arc<str> = class.into();
    let all = watcher::Config::default;
    let services = Api::<Guarded<SlimService>>::all(client.clone());
    let services = changes(services, all()).map(move |event| {
        ClusterChange::Service(event.map(|service| {
            let view = AddressedService::new(&service, &class);
            let uid = service.uid().unwrap_or_default();
            (ObjectKey::of(&service), view.map(|view| (view, uid)))
        }))
    });
    let slices = Api::<Guarded<EndpointSlice>>::all(client.clone());
    let slices = changes(slices, all()).map(|event: ResourceChange<EndpointSlice>| {
        ClusterChange::EndpointSlice(event.map(|slice| (ObjectKey::of(&slice), SliceView::new(&slice))))
    });
    let nodes = Api::<Guarded<SlimNode>>::all(client.clone());
    let nodes = changes(nodes, all()).map(|event| ClusterChange::Node(event.map(|object| node(&object))));
    let pools = Api::<Guarded<IPAddressPool>>::namespaced(client.clone(), namespace);
    let pools = changes(pools, all()).map(ClusterChange::Pool);
    let advertisements = Api::<Guarded<L2Advertisement>>::namespaced(client.clone(), namespace);
    let advertisements = changes(advertisements, all()).map(ClusterChange::L2Advertisement);
    SelectAll::from_iter([
        services.boxed(),
        slices.boxed(),
        nodes.boxed(),
        pools.boxed(),
        advertisements.boxed(),
    ])
}
