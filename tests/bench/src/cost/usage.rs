//! Memory and CPU of the speakers while nothing changes, without and with many addresses.

use std::time::Duration;

use anyhow::Result;
use kube::Client;
use lodestone_bench::{
    load::{AddressWatch, BENCH_NAMESPACE, admin_client, create_services, delete_services},
    process::Process,
    statistics::median_and_max,
};
use lodestone_tests::{Cluster, NAMESPACE, wait_for};
use serde_json::{Value, json};
use tokio::time::sleep;

/// How long one round observes the speakers.
const OBSERVED: Duration = Duration::from_secs(30);

/// How long it may take until all addresses are announced.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(360);

/// Value of the `app` label of the pods behind the Services.
const APP: &str = "web";

/// Measures speakers that own no address.
pub(crate) async fn idle(cluster: &Cluster, rounds: usize) -> Result<()> {
    measure(cluster, "idle", rounds).await
}

/// Measures speakers that together announce `count` addresses.
pub(crate) async fn many_addresses(cluster: &Cluster, count: usize, rounds: usize) -> Result<()> {
    let client = announce_many(cluster, count).await?;
    sleep(Duration::from_secs(20)).await;
    measure(cluster, &format!("{count} addresses"), rounds).await?;
    delete_services(&client).await
}

async fn measure(cluster: &Cluster, state: &str, rounds: usize) -> Result<()> {
    let speakers = speakers(cluster)?;
    sleep(Duration::from_secs(5)).await;
    let (mut resident, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before: Vec<Duration> = speakers.iter().map(|speaker| speaker.cpu()).collect::<Result<_>>()?;
        sleep(OBSERVED).await;
        for (speaker, before) in speakers.iter().zip(before) {
            cpu.push((speaker.cpu()? - before).as_secs_f64() / OBSERVED.as_secs_f64() * 100.0);
            resident.push(speaker.megabytes()?);
        }
    }
    println!(
        "{state}, {rounds} rounds of {} speakers: resident memory {}; CPU {}",
        speakers.len(),
        median_and_max(resident, |mb| format!("{mb:.2} MB")),
        median_and_max(cpu, |percent| format!("{percent:.2} %"))
    );
    Ok(())
}

/// Returns the speaker's process of every node.
fn speakers(cluster: &Cluster) -> Result<Vec<Process>> {
    let nodes = cluster.spec().nodes();
    nodes.iter().map(|node| speaker(cluster, node)).collect()
}

/// Returns the speaker's process of a node.
pub(crate) fn speaker(cluster: &Cluster, node: &str) -> Result<Process> {
    let pod = cluster.pod_of("speaker", Some(node))?;
    Ok(Process(cluster.process_of_pod(NAMESPACE, &pod)?.pid()))
}

/// Creates `count` Services, and waits until the speakers have announced all their addresses.
async fn announce_many(cluster: &Cluster, count: usize) -> Result<Client> {
    cluster.apply(&metallb_object("IPAddressPool", &json!({"addresses": ["10.0.0.0/16"]})))?;
    cluster.apply(&metallb_object("L2Advertisement", &json!({"ipAddressPools": ["many"]})))?;
    cluster.kubectl(&["create", "namespace", BENCH_NAMESPACE])?;
    let client = admin_client(cluster).await?;
    let mut addresses = AddressWatch::start(&client).await?;
    cluster.apply(&web_deployment().to_string())?;
    create_services(&client, count, Some(APP)).await?;
    addresses.wait_for(count).await?;
    let announced = || -> Result<usize> {
        let names = cluster.kubectl(&["-n", NAMESPACE, "get", "servicel2statuses", "-o", "name"])?;
        Ok(names.lines().count())
    };
    wait_for("all addresses to be announced", ANNOUNCE_TIMEOUT, || {
        Ok((announced()? >= count).then_some(()))
    })?;
    Ok(client)
}

fn metallb_object(kind: &str, spec: &Value) -> String {
    let metadata = json!({"name": "many", "namespace": NAMESPACE});
    json!({"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": metadata, "spec": spec}).to_string()
}

fn web_deployment() -> Value {
    let labels = json!({"app": APP});
    let container = json!({"name": "web", "image": "nginx:1.29"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": BENCH_NAMESPACE},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    })
}
