//! A controller whose Lease expires while it is paused: it writes nothing until it holds the Lease
//! again, and then writes everything that was due.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use lodestone_crds::IPAddressPool;
use lodestone_runtime::clock;
use lodestone_tests::NAMESPACE;
use serde_json::json;
use tokio::time::sleep;

use super::{block_on, cluster, config, running_controller::start};

/// The pause between two reads of the objects.
const PAUSE: Duration = Duration::from_millis(250);

/// How many reads a test waits for a change.
const PATIENCE: usize = 240;

#[test]
fn nothing_is_written_between_the_expiry_and_renewal_of_the_lease() {
    let cluster = cluster();
    block_on(async {
        let client = Client::try_from(config(&cluster).await).unwrap();
        let services: Api<Service> = Api::namespaced(client.clone(), "default");
        let pools: Api<IPAddressPool> = Api::namespaced(client.clone(), NAMESPACE);
        let pool = json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "paused"},
            "spec": {"addresses": ["10.9.0.0/32"]},
        });
        let service =
            json!({"metadata": {"name": "paused"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
        let options = PostParams::default();
        // Whether the status of the pool and the status of the Service have been written.
        let written = async || {
            let service = services
                .get_opt("paused")
                .await
                .unwrap()
                .and_then(|service| service.status);
            let balancer = service.and_then(|status| status.load_balancer);
            let address = balancer.is_some_and(|balancer| balancer.ingress.is_some());
            (pools.get("paused").await.unwrap().status.is_some(), address)
        };
        let stays = async |wanted| {
            for _ in 0..8 {
                sleep(PAUSE).await;
                assert_eq!(written().await, wanted);
            }
        };
        let becomes = async |wanted| {
            let mut rounds = 0;
            while written().await != wanted {
                rounds += 1;
                assert!(rounds < PATIENCE, "{:?}", written().await);
                sleep(PAUSE).await;
            }
        };
        let later = || clock::now() + Duration::from_secs(3600);
        // The Lease of the leader expires before it can write anything.
        pools
            .create(&options, &serde_json::from_value(pool).unwrap())
            .await
            .unwrap();
        let controller = start(&client, clock::now());
        stays((false, false)).await;
        // The renewal begins a new term, although the leader may not have noticed the expiry.
        controller.lead_until(later());
        becomes((true, false)).await;
        // The same for the status of a Service.
        controller.lead_until(clock::now());
        services
            .create(&options, &serde_json::from_value(service).unwrap())
            .await
            .unwrap();
        stays((true, false)).await;
        controller.lead_until(later());
        becomes((true, true)).await;
        drop(controller);
        services.delete("paused", &DeleteParams::default()).await.unwrap();
        pools.delete("paused", &DeleteParams::default()).await.unwrap();
    });
}
