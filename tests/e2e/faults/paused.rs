//! A controller whose Lease has run out while it stood still: it writes nothing, and forgets nothing that is to be written.

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

use super::{api_errors::start, block_on, cluster, config};

/// How often it is looked, a quarter of a second each.
const PATIENCE: usize = 240;

#[test]
fn beyond_the_deadline_nothing_is_written_and_when_the_lease_goes_on_everything_is() {
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
                sleep(Duration::from_millis(250)).await;
                assert_eq!(written().await, wanted);
            }
        };
        let becomes = async |wanted| {
            let mut rounds = 0;
            while written().await != wanted {
                rounds += 1;
                assert!(rounds < PATIENCE, "{:?}", written().await);
                sleep(Duration::from_millis(250)).await;
            }
        };
        let later = || clock::now() + Duration::from_secs(3600);
        // It was the one that works, and its time was over before it could go on.
        pools
            .create(&options, &serde_json::from_value(pool).unwrap())
            .await
            .unwrap();
        let controller = start(&client, clock::now());
        stays((false, false)).await;
        // Nobody has taken the Lease meanwhile: it goes on, without having been told that it had lost it.
        controller.works_until(later());
        becomes((true, false)).await;
        // The same with a Service.
        controller.works_until(clock::now());
        services
            .create(&options, &serde_json::from_value(service).unwrap())
            .await
            .unwrap();
        stays((true, false)).await;
        controller.works_until(later());
        becomes((true, true)).await;
        drop(controller);
        services.delete("paused", &DeleteParams::default()).await.unwrap();
        pools.delete("paused", &DeleteParams::default()).await.unwrap();
    });
}
