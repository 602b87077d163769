//! Services made by several writers, and when each has its address.

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

/// A client for the API server of a cluster, with the rights of its administrator.
pub async fn client(cluster: &Cluster) -> Result<Client> {
    let file = Kubeconfig::read_from(cluster.state().kubeconfig())?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// How many write at a time.
const WRITERS: usize = 8;

/// How long nothing may happen before something is wrong.
const STUCK: Duration = Duration::from_secs(120);

/// When each Service was first seen with an address.
pub struct Served {
    seen: watch::Receiver<Arc<HashMap<String, Instant>>>,
    _watch: Task,
}

impl Served {
    /// Watches from now on.
    pub async fn watch(client: &Client) -> Result<Self> {
        let (told, mut seen) = watch::channel(Arc::new(HashMap::new()));
        let (begun, mut ready) = watch::channel(false);
        let mut events = watcher(api(client), watcher::Config::default()).boxed();
        let task = spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Ok(watcher::Event::Apply(service) | watcher::Event::InitApply(service))
                        if has_address(&service) =>
                    {
                        let now = clock::now();
                        told.send_modify(|map| {
                            Arc::make_mut(map).entry(service.name_any()).or_insert(now);
                        });
                    }
                    Ok(watcher::Event::InitDone) => drop(begun.send_replace(true)),
                    Ok(_) => {}
                    Err(error) => eprintln!("the bench's own watch: {error}"),
                }
            }
        });
        ready.wait_for(|begun| *begun).await?;
        seen.mark_unchanged();
        Ok(Self { seen, _watch: task })
    }

    /// Waits until so many have an address.
    pub async fn all(&mut self, count: usize) -> Result<Arc<HashMap<String, Instant>>> {
        loop {
            let seen = self.seen.borrow_and_update().clone();
            if seen.len() >= count {
                return Ok(seen);
            }
            let (have, changed) = (seen.len(), self.seen.changed());
            drop(seen);
            match tokio::time::timeout(STUCK, changed).await {
                Ok(answer) => answer?,
                Err(_) => bail!("only {have} of {count} Services have an address, and nothing happens"),
            }
        }
    }
}

fn has_address(service: &Service) -> bool {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    status.is_some_and(|balancer| balancer.ingress.as_ref().is_some_and(|ingress| !ingress.is_empty()))
}

fn api(client: &Client) -> Api<Service> {
    Api::namespaced(client.clone(), "bench")
}

/// Makes Services `s0` … with eight writers, for the pods of `app` if there is one, and gives when each was asked for.
pub async fn create(client: &Client, count: usize, app: Option<&str>) -> Result<HashMap<String, Instant>> {
    let writers = (0..WRITERS).map(|writer| {
        let api = api(client);
        async move {
            let mut asked = Vec::new();
            for number in (writer..count).step_by(WRITERS) {
                let name = format!("s{number}");
                let mut object = json!({
                    "metadata": {"name": name}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "allocateLoadBalancerNodePorts": false},
                });
                if let Some(app) = app {
                    object["spec"]["selector"] = json!({"app": app});
                }
                asked.push((name.clone(), clock::now()));
                api.create(&PostParams::default(), &serde_json::from_value(object)?)
                    .await
                    .with_context(|| format!("can't make {name}"))?;
            }
            anyhow::Ok(asked)
        }
    });
    Ok(try_join_all(writers).await?.into_iter().flatten().collect())
}

/// Deletes them all.
pub async fn clear(client: &Client) -> Result<()> {
    let api = api(client);
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
                // What fails is tried again in the next round.
                async move { drop(api.delete(&name, &DeleteParams::default()).await) }
            })
            .await;
    }
}

/// The time below which so many in a hundred of `times` are.
pub fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(index).copied().unwrap_or_default()
}
