//! `cost`: memory and CPU of the speakers on a real cluster, where the chart installed them. The
//! CPU per ARP answer stands beside that of a bare responder in the same run.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "this program measures time")]

mod arp_answers;
mod bare_responder;
mod flood;
mod usage;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use lodestone_tests::{Cluster, Spec, images};

/// Measures the speakers on a cluster that exists only for this run
#[derive(Parser)]
struct CostArgs {
    /// Path of the program `cluster`, which takes the cluster down even if this process is killed
    #[arg(long)]
    cluster: PathBuf,
    /// Number of measurements per figure
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Number of announced addresses for the figure `many`
    #[arg(long, default_value_t = 1000)]
    addresses: usize,
    /// ARP requests per second for the figure `answers`
    #[arg(long, default_value_t = 100_000)]
    rate: u32,
    /// Take only these figures
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<SpeakerFigure>,
}

/// A figure that can be chosen with `--only`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SpeakerFigure {
    /// Memory and CPU without any address
    Idle,
    /// CPU per ARP answer
    Answers,
    /// Memory and CPU with many announced addresses
    Many,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let args = CostArgs::parse();
    let spec = Spec::unique("c").workers(2).images(images()?);
    let cluster = Cluster::up(spec, &args.cluster)?;
    cluster.install_lodestone(&[])?;
    let wanted = |figure| args.only.is_empty() || args.only.contains(&figure);
    if wanted(SpeakerFigure::Idle) {
        usage::idle(&cluster, args.rounds).await?;
    }
    cluster.apply_quickstart()?;
    if wanted(SpeakerFigure::Answers) {
        arp_answers::measure(&cluster, args.rate, args.rounds)?;
    }
    if wanted(SpeakerFigure::Many) {
        usage::many_addresses(&cluster, args.addresses, args.rounds).await?;
    }
    Ok(())
}
