//! The watches of the API server, as streams of changes.

use std::{sync::Arc, time::Duration};

use futures::{
    FutureExt, StreamExt,
    stream::{BoxStream, SelectAll},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt, runtime::watcher};
use lodestone_controller_core::ServiceView;
use lodestone_crds::{ConfigurationState, IPAddressPool, L2Advertisement, Labels, ResourceChange};
use lodestone_runtime::k8s::{decode_guard::Guarded, service::SlimService, watch::changes};

use crate::status::{desired::STATE_NAME, service::view};

/// How long the first list of Services waits for the Lease. A replica that becomes leader lists
/// them again, so a list before that would be wasted.
const LEASE_WAIT: Duration = Duration::from_secs(1);

/// A change of anything but a Service.
pub(super) enum WatchReport {
    Namespace(ResourceChange<(String, Labels)>),
    Pool(ResourceChange<IPAddressPool>),
    L2Advertisement(ResourceChange<L2Advertisement>),
    ConfigurationState(ResourceChange<ConfigurationState>),
}

/// The changes of all Services, beginning with a list.
pub(super) fn services(client: &Client, class: &str) -> BoxStream<'static, ResourceChange<ServiceView>> {
    let class: Arc<str> = class.into();
    changes(
        Api::<Guarded<SlimService>>::all(client.clone()),
        watcher::Config::default(),
    )
    .map(move |change| change.map(|service| view(service, &class)))
    .boxed()
}

/// As [`services`], after [`LEASE_WAIT`].
pub(super) fn delayed_services(client: &Client, class: &str) -> BoxStream<'static, ResourceChange<ServiceView>> {
    let services = services(client, class);
    async { tokio::time::sleep(LEASE_WAIT).await }
        .map(|()| services)
        .flatten_stream()
        .boxed()
}

/// The changes of everything else.
pub(super) fn others(client: &Client, namespace: &str) -> SelectAll<BoxStream<'static, WatchReport>> {
    let config = watcher::Config::default;
    let namespaces = changes(Api::<Guarded<Namespace>>::all(client.clone()), config())
        .map(|change| change.map(|namespace| (namespace.name_any(), namespace.labels().clone())));
    let pools = changes(
        Api::<Guarded<IPAddressPool>>::namespaced(client.clone(), namespace),
        config(),
    );
    let advertisements = changes(
        Api::<Guarded<L2Advertisement>>::namespaced(client.clone(), namespace),
        config(),
    );
    let states = changes(
        Api::<Guarded<ConfigurationState>>::namespaced(client.clone(), namespace),
        config().fields(&format!("metadata.name={STATE_NAME}")),
    );
    let mut all = SelectAll::new();
    all.push(namespaces.map(WatchReport::Namespace).boxed());
    all.push(pools.map(WatchReport::Pool).boxed());
    all.push(advertisements.map(WatchReport::L2Advertisement).boxed());
    all.push(states.map(WatchReport::ConfigurationState).boxed());
    all
}
