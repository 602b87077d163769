//! Time from the creation of a Service to the first ARP answer for its address.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, api::PostParams};
use lodestone_bench::load::admin_client;
use lodestone_tests::{Cluster, Netns, wait_until};
use serde_json::{Value, json};

use crate::{
    READY_TIMEOUT, in_ms,
    probe::{FirstAnswer, first_answer},
};

/// Measures from the start of `kubectl apply`.
pub(crate) fn after_apply(cluster: &Cluster, rounds: usize) -> Result<()> {
    measure(cluster, rounds, "kubectl apply", |service| {
        cluster.apply(&service.to_string()).map(drop)
    })
}

/// Measures from the request of a program that is already connected to the API server.
pub(crate) fn after_request(cluster: &Cluster, rounds: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let services: Api<Service> = Api::default_namespaced(runtime.block_on(admin_client(cluster))?);
    measure(cluster, rounds, "the request", |service| {
        let service = serde_json::from_value(service)?;
        runtime.block_on(services.create(&PostParams::default(), &service))?;
        Ok(())
    })
}

/// Creates a Service with `create` in each round. `how` names that in the output.
fn measure(cluster: &Cluster, rounds: usize, how: &str, create: impl Fn(Value) -> Result<()>) -> Result<()> {
    let client = cluster.host("client1");
    let mut answers = Vec::new();
    for round in 0..rounds {
        let address = format!("192.168.122.{}", 112 + round % 8);
        let answer = measure_once(&client, &address, &create)?;
        println!(
            "new Service: first answer after {} ms, {how} took {} ms",
            answer.after.as_millis(),
            answer.cause_took.as_millis()
        );
        answers.push(answer);
        cluster.kubectl(&["delete", "service", "new"])?;
        wait_until("the address to be released", READY_TIMEOUT, || {
            client.who_has(&address).is_ok_and(|macs| macs.is_empty())
        })?;
    }
    let summary = |time: fn(&FirstAnswer) -> Duration| in_ms(answers.iter().map(time).collect());
    println!(
        "new Service, {rounds} rounds: first answer after {}; {how} took {}; from its end to the answer {}",
        summary(|answer| answer.after),
        summary(|answer| answer.cause_took),
        summary(|answer| answer.after.saturating_sub(answer.cause_took))
    );
    Ok(())
}

fn measure_once(client: &Netns, address: &str, create: impl Fn(Value) -> Result<()>) -> Result<FirstAnswer> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "new"},
        "spec": {
            "type": "LoadBalancer", "loadBalancerIP": address,
            "selector": {"app": "nginx-deployment"}, "ports": [{"port": 80}],
        },
    });
    first_answer(client, address.parse()?, || create(service))
}
