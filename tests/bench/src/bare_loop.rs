//! A loop that gives every Service of type LoadBalancer the next number as its address: no allocation, no rules, nothing to restore. What
//! it needs is what the API server and the client library need; whatever a controller takes beyond that is its own.
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

/// How many patches are under way at a time.
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
                let balanced = service
                    .spec
                    .as_ref()
                    .is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
                let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
                if !balanced || status.is_some_and(|balancer| balancer.ingress.is_some()) {
                    return;
                }
                let address = Ipv4Addr::from(next.fetch_add(1, Ordering::Relaxed));
                let patch = json!({
                    "metadata": {"resourceVersion": service.resource_version()},
                    "status": {"loadBalancer": {"ingress": [{"ip": address.to_string()}]}},
                });
                let api: Api<Service> = Api::namespaced(client.clone(), &service.namespace().unwrap_or_default());
                // Whoever changed it meanwhile will be told of again.
                let _ = api
                    .patch_status(&service.name_any(), &PatchParams::default(), &Patch::Merge(patch))
                    .await;
            }
        })
        .await;
    Ok(())
}
