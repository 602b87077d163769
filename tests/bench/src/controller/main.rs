//! `bench`: figures of the controller on a real cluster, installed by the chart, and of a bare loop beside it in the same run.
#![forbid(unsafe_code)]

mod system_under_test;

use std::{
    future::ready,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, runtime::watcher};
use lodestone_bench::load::{Served, clear, client, create, percentile};
use lodestone_daemon::clock;
use lodestone_tests::{Cluster, NAMESPACE, Spec, checkout, images};
use serde_json::{Value, json};
use system_under_test::{Subject, install_bare_loop};
use tokio::time::sleep;

const SUBJECTS: [Subject; 2] = [Subject::Lodestone, Subject::BareLoop];

/// Measures the controller on a cluster of its own, which goes when it ends.
#[derive(Parser)]
struct Args {
    /// The program `cluster`, which stands by the cluster
    #[arg(long)]
    cluster: PathBuf,
    /// How often each figure is taken
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many Services are made
    #[arg(long, default_value_t = 1000)]
    services: usize,
    /// How many are found at start in the second measurement of that kind; 0: none
    #[arg(long, default_value_t = 10_000)]
    many: usize,
    /// How many workers the cluster has beside its control-plane node
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    workers: u8,
    /// Only some of the figures
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Figure>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Figure {
    Idle,
    Bursts,
    Starts,
    Takeover,
}

struct Bench {
    cluster: Cluster,
    client: Client,
    args: Args,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let args = Args::parse();
    let mut archives = images()?;
    archives.push(checkout().join("target/test-images/bareloop.tar"));
    let spec = Spec {
        workers: args.workers,
        images: archives,
        ..Spec::new(&format!("b{}", std::process::id()))
    };
    let cluster = Cluster::up(spec, Path::new(&args.cluster))?;
    cluster.install_lodestone(&[])?;
    install_bare_loop(&cluster)?;
    let pool = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "bench", "namespace": NAMESPACE},
        "spec": {"addresses": ["10.0.0.0/16"]},
    });
    cluster.apply(&pool.to_string())?;
    cluster.kubectl(&["create", "namespace", "bench"])?;
    let bench = Bench {
        client: client(&cluster).await?,
        cluster,
        args,
    };
    Subject::Lodestone.scale(&bench.cluster, 0)?;
    let wanted = |figure| bench.args.only.is_empty() || bench.args.only.contains(&figure);
    if wanted(Figure::Idle) {
        bench.idle().await?;
    }
    if wanted(Figure::Bursts) {
        bench.bursts().await?;
    }
    if wanted(Figure::Starts) {
        bench.starts(bench.args.services).await?;
        if bench.args.many > 0 {
            bench.starts(bench.args.many).await?;
        }
    }
    if wanted(Figure::Takeover) {
        bench.takeover().await?;
    }
    Ok(())
}

impl Bench {
    /// Memory, CPU and writes with nothing to do.
    async fn idle(&self) -> Result<()> {
        const WATCHED: Duration = Duration::from_secs(30);
        for subject in SUBJECTS {
            subject.scale(&self.cluster, 1)?;
            let process = subject.process(&self.cluster)?;
            sleep(Duration::from_secs(5)).await;
            let (cpu, writes) = (process.cpu()?, self.writes()?);
            let renewals = self.renewals(WATCHED).await;
            let used = (process.cpu()? - cpu).as_secs_f64() / WATCHED.as_secs_f64() * 100.0;
            let written = self.writes()? - writes;
            let mb = process.megabytes()?;
            println!(
                "{}: idle: {mb:.1} MB resident, {used:.2} % CPU, {written} writes to the API and {renewals} to its Lease in {WATCHED:?}",
                subject.name()
            );
            subject.scale(&self.cluster, 0)?;
        }
        Ok(())
    }

    /// How many writes the API server has taken of what a controller may write, its Lease aside.
    fn writes(&self) -> Result<u64> {
        let metrics = self.cluster.kubectl(&["get", "--raw", "/metrics"])?;
        let ours = |line: &&str| {
            let verb = ["POST", "PUT", "PATCH", "DELETE", "APPLY"]
                .iter()
                .any(|verb| line.contains(&format!("verb=\"{verb}\"")));
            let resource = [
                "ipaddresspools",
                "l2advertisements",
                "configurationstates",
                "services",
                "secrets",
                "events",
                "validatingwebhookconfigurations",
            ];
            verb && resource
                .iter()
                .any(|resource| line.contains(&format!("resource=\"{resource}\"")))
        };
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("apiserver_request_total{"))
            .filter(ours);
        let count: f64 = lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of requests"
        )]
        Ok(count as u64)
    }

    /// How often the controller's Lease is written in this time.
    async fn renewals(&self, time: Duration) -> usize {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), NAMESPACE);
        let only = watcher::Config::default().fields("metadata.name=lodestone-controller");
        let events = watcher(api, only).take_until(sleep(time));
        let changes = events.filter(|event| ready(matches!(event, Ok(watcher::Event::Apply(_)))));
        changes.count().await
    }

    /// Services made by eight writers, from creation to address.
    async fn bursts(&self) -> Result<()> {
        let count = self.args.services;
        let mut figures: Vec<(Subject, Vec<Duration>, Vec<Duration>)> =
            SUBJECTS.map(|subject| (subject, vec![], vec![])).into();
        for round in 0..self.args.rounds {
            for (subject, p50s, p99s) in &mut figures {
                subject.scale(&self.cluster, 1)?;
                let process = subject.process(&self.cluster)?;
                sleep(Duration::from_secs(3)).await;
                let mut served = Served::watch(&self.client).await?;
                let asked = create(&self.client, count, None).await?;
                let seen = served.all(count).await?;
                let mut times: Vec<Duration> = asked
                    .iter()
                    .filter_map(|(name, asked)| Some(*seen.get(name)? - *asked))
                    .collect();
                p50s.push(percentile(&mut times, 50));
                p99s.push(percentile(&mut times, 99));
                let (mb, cpu) = (process.megabytes()?, process.cpu()?);
                println!(
                    "{}: {count} made, round {}: p50 {} ms, p99 {} ms, {mb:.1} MB resident, {} ms of CPU",
                    subject.name(),
                    round + 1,
                    ms(p50s[round]),
                    ms(p99s[round]),
                    cpu.as_millis()
                );
                clear(&self.client).await?;
                subject.scale(&self.cluster, 0)?;
            }
        }
        let medians: Vec<(Duration, Duration)> = figures
            .iter_mut()
            .map(|(_, p50s, p99s)| (percentile(p50s, 50), percentile(p99s, 50)))
            .collect();
        let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
        println!(
            "{count} made by 8 writers, creation to address: p50 {} ms ({:.2} times the bare loop's {}), p99 {} ms ({:.2} times {})",
            ms(medians[0].0),
            ratio(medians[0].0, medians[1].0),
            ms(medians[1].0),
            ms(medians[0].1),
            ratio(medians[0].1, medians[1].1),
            ms(medians[1].1)
        );
        Ok(())
    }

    /// Services that wait when the process starts, from the start of the process until all have an address.
    async fn starts(&self, count: usize) -> Result<()> {
        for subject in SUBJECTS {
            let mut times = Vec::new();
            let rounds = if count > 2000 { 1 } else { self.args.rounds };
            for _ in 0..rounds {
                create(&self.client, count, None).await?;
                // kube-proxy and the speakers have their own work with them.
                sleep(Duration::from_secs(if count > 2000 { 30 } else { 5 })).await;
                let mut served = Served::watch(&self.client).await?;
                subject.scale(&self.cluster, 1)?;
                let seen = served.all(count).await?;
                let process = subject.process(&self.cluster)?;
                let started = clock::now() - process.age()?;
                let last = seen.values().max().context("none")?;
                let first = seen.values().min().context("none")?.saturating_duration_since(started);
                times.push(last.saturating_duration_since(started));
                println!(
                    "{}: {count} at start: first served after {} ms, all after {} ms, {:.1} MB resident, {} ms of CPU",
                    subject.name(),
                    ms(first),
                    ms(times[times.len() - 1]),
                    process.megabytes()?,
                    process.cpu()?.as_millis()
                );
                clear(&self.client).await?;
                subject.scale(&self.cluster, 0)?;
            }
            println!(
                "{}: {count} waiting at start: median {} ms",
                subject.name(),
                ms(percentile(&mut times, 50))
            );
        }
        Ok(())
    }

    /// The replica that works is frozen: from the end of its Lease until a new Service has an address.
    async fn takeover(&self) -> Result<()> {
        let subject = Subject::Lodestone;
        for _ in 0..self.args.rounds {
            subject.scale(&self.cluster, 2)?;
            let lease = |path: &str| {
                self.cluster
                    .kubectl(&["-n", NAMESPACE, "get", "lease", "lodestone-controller", "-o", path])
            };
            sleep(Duration::from_secs(3)).await;
            let holder = lease("jsonpath={.spec.holderIdentity}")?;
            self.cluster.process_of_pod(NAMESPACE, &holder)?.freeze();
            let frozen = clock::now();
            let spec: Value = self.cluster.get(&["-n", NAMESPACE, "lease", "lodestone-controller"])?["spec"].clone();
            let seconds = spec["leaseDurationSeconds"].as_u64().unwrap_or(15);
            let mut served = Served::watch(&self.client).await?;
            create(&self.client, 1, None).await?;
            let seen = served.all(1).await?;
            let took = seen.values().max().context("none")?.saturating_duration_since(frozen);
            println!(
                "leader frozen: a new Service served after {} ms; the Lease lasts {seconds} s",
                ms(took)
            );
            clear(&self.client).await?;
            self.cluster.process_of_pod(NAMESPACE, &holder)?.kill();
            subject.scale(&self.cluster, 0)?;
        }
        Ok(())
    }
}

fn ms(time: Duration) -> u128 {
    time.as_millis()
}
