//! The controller against an API server that fails, by seed, and against its own sudden death.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this crate is tests only"
)]

#[path = "api_server/expired_lease.rs"]
mod expired_lease;
#[path = "api_server/fault_injection.rs"]
mod fault_injection;
#[path = "api_server/random_edits.rs"]
mod random_edits;
#[path = "api_server/service_l2_status.rs"]
mod service_l2_status;
#[path = "api_server/sudden_death.rs"]
mod sudden_death;

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use lodestone_tests::{Cluster, NAMESPACE, Spec, checkout};

/// A cluster with the kinds and nothing of Lodestone in it: the tests run the controller themselves.
pub(crate) fn cluster() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let spec = Spec {
            workers: 0,
            clients: 0,
            ..Spec::new(&format!("f{}", std::process::id()))
        };
        let cluster = Cluster::up(spec, Path::new(env!("CARGO_BIN_EXE_cluster"))).unwrap();
        let definitions = std::fs::read_to_string(checkout().join("charts/lodestone/files/crds.yaml")).unwrap();
        cluster.apply(&definitions).unwrap();
        cluster.kubectl(&["create", "namespace", NAMESPACE]).unwrap();
        cluster
            .kubectl(&["wait", "--for=condition=Established", "crds", "--all", "--timeout=60s"])
            .unwrap();
        Mutex::new(cluster)
    });
    cluster.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The user's way to the API server.
pub(crate) async fn config(cluster: &Cluster) -> Config {
    let file = Kubeconfig::read_from(cluster.state().kubeconfig()).unwrap();
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .unwrap()
}

pub(crate) fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}
