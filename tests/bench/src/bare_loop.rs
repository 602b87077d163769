//! `bareloop`: the baseline for the controller's figures.
//!
//! It assigns consecutive addresses to Services of type LoadBalancer, with the same client library
//! as the controller. It has no allocator, no rules and no state to restore. Its cost is therefore
//! the cost of the API server and the client library; any excess is the controller's own.
#![forbid(unsafe_code)]

use std::{
    future::ready,
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Result;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, reflector, watcher},
};
use serde_json::json;

/// Maximum number of concurrent status patches.
const IN_FLIGHT: usize = 16;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let client = Client::try_default().await?;
    let (_store, writer) = reflector::store();
    let next = AtomicU32::new(u32::from(Ipv4Addr::new(10, 0, 0, 0)));
    watcher(Api::<Service>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .applied_objects()
        .filter_map(|service| ready(service.ok()))
        .for_each_concurrent(IN_FLIGHT, |service| {
            let (client, next) = (&client, &next);
            async move {
                if needs_address(&service) {
                    let address = Ipv4Addr::from(next.fetch_add(1, Ordering::Relaxed));
                    assign(client, &service, address).await;
                }
            }
        })
        .await;
    Ok(())
}

fn needs_address(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    let is_load_balancer = spec.is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    is_load_balancer && status.is_none_or(|balancer| balancer.ingress.is_none())
}

async fn assign(client: &Client, service: &Service, address: Ipv4Addr) {
    let patch = json!({
        "metadata": {"resourceVersion": service.resource_version()},
        "status": {"loadBalancer": {"ingress": [{"ip": address.to_string()}]}},
    });
    let api: Api<Service> = Api::namespaced(client.clone(), &service.namespace().unwrap_or_default());
    // A conflict needs no retry: the watch delivers the newer version of the Service.
    let _ = api
        .patch_status(&service.name_any(), &PatchParams::default(), &Patch::Merge(patch))
        .await;
}
