//! Load on the API server: creates Services with several writers and records when each receives
//! its address.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, future::try_join_all};
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::watcher,
};
use lodestone_runtime::{
    clock,
    task::{Task, spawn},
};
use lodestone_tests::Cluster;
use serde_json::json;
use tokio::sync::watch;

/// Namespace of all Services that this module creates.
pub const BENCH_NAMESPACE: &str = "bench";

/// Number of concurrent writers.
pub const WRITERS: usize = 8;

/// After this long without another address the measurement is given up.
const STUCK: Duration = Duration::from_secs(120);

/// Returns a client for the API server of `cluster`, with administrator rights.
pub async fn admin_client(cluster: &Cluster) -> Result<Client> {
    let file = Kubeconfig::read_from(cluster.state().kubeconfig())?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Records when each Service was first seen with an address.
pub struct AddressWatch {
    first_seen: watch::Receiver<Arc<HashMap<String, Instant>>>,
    _task: Task,
}

impl AddressWatch {
    /// Starts the watch. Returns once the initial list is complete.
    pub async fn start(client: &Client) -> Result<Self> {
        let (sender, mut first_seen) = watch::channel(Arc::new(HashMap::new()));
        let (listed, mut is_listed) = watch::channel(false);
        let mut events = watcher(services(client), watcher::Config::default()).boxed();
        let task = spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Ok(watcher::Event::Apply(service) | watcher::Event::InitApply(service))
                        if has_address(&service) =>
                    {
                        let now = clock::now();
                        sender.send_modify(|map| {
                            Arc::make_mut(map).entry(service.name_any()).or_insert(now);
                        });
                    }
                    Ok(watcher::Event::InitDone) => drop(listed.send_replace(true)),
                    Ok(_) => {}
                    Err(error) => eprintln!("the watch of the benchmark failed: {error}"),
                }
            }
        });
        is_listed.wait_for(|listed| *listed).await?;
        first_seen.mark_unchanged();
        Ok(Self {
            first_seen,
            _task: task,
        })
    }

    /// Waits until `count` Services have an address. Returns when each was first seen with one.
    ///
    /// # Errors
    /// If no Service receives an address for two minutes.
    pub async fn wait_for(&mut self, count: usize) -> Result<Arc<HashMap<String, Instant>>> {
        loop {
            let seen = self.first_seen.borrow_and_update().clone();
            if seen.len() >= count {
                return Ok(seen);
            }
            // The task copies the map on each change for as long as this clone lives.
            let (have, changed) = (seen.len(), self.first_seen.changed());
            drop(seen);
            match tokio::time::timeout(STUCK, changed).await {
                Ok(change) => change?,
                Err(_) => bail!("only {have} of {count} Services have an address after {STUCK:?} without progress"),
            }
        }
    }
}

fn has_address(service: &Service) -> bool {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|balancer| balancer.ingress.as_ref());
    ingress.is_some_and(|ingress| !ingress.is_empty())
}

fn services(client: &Client) -> Api<Service> {
    Api::namespaced(client.clone(), BENCH_NAMESPACE)
}

/// Creates Services `s0`, `s1`, … and returns when each request was sent.
///
/// With `app`, they select the pods that have that `app` label; without it, they have no selector.
pub async fn create_services(client: &Client, count: usize, app: Option<&str>) -> Result<HashMap<String, Instant>> {
    let writers = (0..WRITERS).map(|writer| {
        let api = services(client);
        async move {
            let mut requested = Vec::new();
            for number in (writer..count).step_by(WRITERS) {
                let name = format!("s{number}");
                let mut object = json!({
                    "metadata": {"name": name},
                    "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "allocateLoadBalancerNodePorts": false},
                });
                if let Some(app) = app {
                    object["spec"]["selector"] = json!({"app": app});
                }
                requested.push((name.clone(), clock::now()));
                api.create(&PostParams::default(), &serde_json::from_value(object)?)
                    .await
                    .with_context(|| format!("cannot create Service {name}"))?;
            }
            anyhow::Ok(requested)
        }
    });
    Ok(try_join_all(writers).await?.into_iter().flatten().collect())
}

/// Deletes all Services of the benchmark's namespace.
pub async fn delete_services(client: &Client) -> Result<()> {
    let api = services(client);
    loop {
        let names: Vec<String> = api
            .list_metadata(&ListParams::default())
            .await?
            .items
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        futures::stream::iter(names)
            .for_each_concurrent(WRITERS * 2, |name| {
                let api = api.clone();
                // The next round of the loop retries a failed deletion.
                async move { drop(api.delete(&name, &DeleteParams::default()).await) }
            })
            .await;
    }
}
