//! The controller and the status reporter of the speaker against a bare API server. The tests run
//! them in this process, so that requests can fail by seed and Leases can expire at a chosen
//! moment.

mod definitions;
mod expired_lease;
mod fault_injection;
mod pod_credentials;
mod random_edits;
mod running_controller;
mod service_l2_status;
mod sudden_death;

use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use lodestone_tests::{Cluster, NAMESPACE, Spec, checkout};

use crate::support::SharedCluster;

/// A cluster with the CustomResourceDefinitions and nothing else of Lodestone.
fn cluster() -> SharedCluster {
    SharedCluster::get(Spec::unique("a").workers(0).clients(0), |cluster| {
        let definitions = std::fs::read_to_string(checkout().join("charts/lodestone/files/crds.yaml")).unwrap();
        cluster.apply(&definitions).unwrap();
        cluster.kubectl(&["create", "namespace", NAMESPACE]).unwrap();
        cluster
            .kubectl(&["wait", "--for=condition=Established", "crds", "--all", "--timeout=60s"])
            .unwrap();
    })
}

/// Access to the API server with the user's credentials.
async fn config(cluster: &Cluster) -> Config {
    let file = Kubeconfig::read_from(cluster.state().kubeconfig()).unwrap();
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .unwrap()
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}
