//! How long it takes until the address of a new Service is answered for.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, api::PostParams};
use lodestone_bench::load::client;
use lodestone_tests::{Cluster, wait_until};
use serde_json::{Value, json};

use crate::{LIMIT, in_ms, probe::first_answer};

/// From the start of `kubectl apply` to the first ARP answer for a new Service.
pub(crate) fn applied(cluster: &Cluster, rounds: usize) -> Result<()> {
    several("kubectl apply", cluster, rounds, |service| {
        cluster.apply(&service.to_string()).map(drop)
    })
}

/// The same, from the request of a program that is connected already.
pub(crate) fn created(cluster: &Cluster, rounds: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let services: Api<Service> = Api::default_namespaced(runtime.block_on(client(cluster))?);
    several("the request", cluster, rounds, |service| {
        let service = serde_json::from_value(service)?;
        runtime.block_on(services.create(&PostParams::default(), &service))?;
        Ok(())
    })
}

fn several(what: &str, cluster: &Cluster, rounds: usize, make: impl Fn(Value) -> Result<()>) -> Result<()> {
    let client = cluster.host("client1");
    let (mut answered, mut made, mut between): (Vec<Duration>, Vec<Duration>, Vec<Duration>) = Default::default();
    for round in 0..rounds {
        let address = format!("192.168.122.{}", 112 + round % 8);
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "new"},
            "spec": {
                "type": "LoadBalancer", "loadBalancerIP": address, "selector": {"app": "nginx-deployment"}, "ports": [{"port": 80}],
            },
        });
        let (first, took) = first_answer(&client, address.parse()?, || make(service))?;
        println!(
            "new Service: first answer after {} ms, {what} took {} ms",
            first.as_millis(),
            took.as_millis()
        );
        answered.push(first);
        made.push(took);
        between.push(first.saturating_sub(took));
        cluster.kubectl(&["delete", "service", "new"])?;
        wait_until("the address to be given up", LIMIT, || {
            client.who_has(&address).is_ok_and(|macs| macs.is_empty())
        })?;
    }
    println!(
        "new Service, {rounds} rounds: first answer after {}; {what} took {}; from its end {}",
        in_ms(answered),
        in_ms(made),
        in_ms(between)
    );
    Ok(())
}
