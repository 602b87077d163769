//! `sim`: plays scenarios by seed, and prints what went wrong.
#![forbid(unsafe_code)]

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, bail};
use clap::Parser;
use lodestone_sim::{PlayOptions, Report, play};

/// How many violations of a seed are printed.
const PRINTED: usize = 5;

/// Plays fault scenarios by seed
#[derive(Parser)]
struct SimArgs {
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of seeds
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Stop after the first seed that fails
    #[arg(long)]
    until_failure: bool,
    /// Print every event of the speakers
    #[arg(long)]
    aloud: bool,
    /// Print the state of all speakers at this time, in milliseconds from the beginning
    #[arg(long)]
    state_at: Option<u64>,
    /// Write every packet to this file, as lines of JSON
    #[arg(long)]
    record: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = SimArgs::parse();
    let (mut played, mut failed, mut max_packets, mut longest) = (0u64, 0u64, 0, Duration::ZERO);
    for seed in args.seed..args.seed + args.seeds {
        let report = play(
            seed,
            PlayOptions {
                record: args.record.as_deref().map(open_record).transpose()?,
                aloud: args.aloud,
                state_at: args.state_at.map(Duration::from_millis),
            },
        );
        longest = longest.max(report.longest_outage);
        max_packets = max_packets.max(report.max_packets);
        played += 1;
        failed += u64::from(!report.violations.is_empty());
        if args.aloud || !report.violations.is_empty() {
            print(&report);
        }
        if args.until_failure && failed > 0 {
            break;
        }
    }
    println!(
        "{played} seeds, {failed} failed; longest outage of an address {longest:?}; \
         at most {max_packets} packets per node and second"
    );
    if failed > 0 {
        bail!("{failed} seeds failed");
    }
    Ok(())
}

fn open_record(path: &Path) -> Result<Box<dyn Write>> {
    Ok(Box::new(BufWriter::new(File::create(path)?)))
}

fn print(report: &Report) {
    println!(
        "seed {}, at most {} packets per node and second:",
        report.seed, report.max_packets
    );
    for step in &report.steps {
        println!("  {step}");
    }
    for violation in report.violations.iter().take(PRINTED) {
        println!("  at {:?}: {}", violation.at, violation.text);
    }
}
