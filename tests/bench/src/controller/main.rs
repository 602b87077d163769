//! `bench`: figures of the controller on a real cluster where the chart installed it, and of a bare
//! loop in the same run.
#![forbid(unsafe_code)]

mod bursts;
mod idle;
mod leader_takeover;
mod startup;
mod system_under_test;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use kube::Client;
use lodestone_bench::load::{BENCH_NAMESPACE, admin_client};
use lodestone_tests::{Cluster, NAMESPACE, Spec, checkout, images};
use serde_json::json;
use system_under_test::{SystemUnderTest, install_bare_loop};

/// Measures the controller on a cluster that exists only for this run
#[derive(Parser)]
struct ControllerBenchArgs {
    /// Path of the program `cluster`, which takes the cluster down even if this process is killed
    #[arg(long)]
    cluster: PathBuf,
    /// Number of measurements per figure
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Number of Services to create
    #[arg(long, default_value_t = 1000)]
    services: usize,
    /// Number of Services in the second start-up measurement; 0 skips it
    #[arg(long, default_value_t = 10_000)]
    many: usize,
    /// Number of workers beside the control-plane node
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    workers: u8,
    /// Take only these figures
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<ControllerFigure>,
}

/// A figure that can be chosen with `--only`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ControllerFigure {
    /// Memory, CPU and API writes without any work
    Idle,
    /// Time from creation to address when many Services are created at once
    Bursts,
    /// Time until all Services that existed before the start have an address
    Starts,
    /// Time until the standby serves after the leader froze
    Takeover,
}

/// A running cluster with both systems installed and no replica of either.
struct Bench {
    cluster: Cluster,
    client: Client,
    args: ControllerBenchArgs,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let bench = Bench::set_up(ControllerBenchArgs::parse()).await?;
    let wanted = |figure| bench.args.only.is_empty() || bench.args.only.contains(&figure);
    if wanted(ControllerFigure::Idle) {
        bench.idle().await?;
    }
    if wanted(ControllerFigure::Bursts) {
        bench.bursts().await?;
    }
    if wanted(ControllerFigure::Starts) {
        bench.startup(bench.args.services).await?;
        if bench.args.many > 0 {
            bench.startup(bench.args.many).await?;
        }
    }
    if wanted(ControllerFigure::Takeover) {
        bench.leader_takeover().await?;
    }
    Ok(())
}

impl Bench {
    async fn set_up(args: ControllerBenchArgs) -> Result<Self> {
        let mut archives = images()?;
        archives.push(checkout().join("target/test-images/bareloop.tar"));
        let spec = Spec::unique("b").workers(args.workers).images(archives);
        let cluster = Cluster::up(spec, Path::new(&args.cluster))?;
        cluster.install_lodestone(&[])?;
        install_bare_loop(&cluster)?;
        let pool = json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": {"name": "bench", "namespace": NAMESPACE},
            "spec": {"addresses": ["10.0.0.0/16"]},
        });
        cluster.apply(&pool.to_string())?;
        cluster.kubectl(&["create", "namespace", BENCH_NAMESPACE])?;
        let client = admin_client(&cluster).await?;
        SystemUnderTest::Lodestone.scale(&cluster, 0)?;
        Ok(Self { cluster, client, args })
    }
}

fn ms(time: Duration) -> u128 {
    time.as_millis()
}
