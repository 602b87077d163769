//! `sim`: plays seeds, and says of those that went wrong what happened.
#![forbid(unsafe_code)]

use std::{fs::File, io::BufWriter, path::PathBuf};

use anyhow::{Result, bail};
use clap::Parser;
use lodestone_sim::play;

/// Plays stories of faults by seed.
#[derive(Parser)]
struct Args {
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Print what the speakers say of themselves
    #[arg(long)]
    aloud: bool,
    /// Print all that the speakers know at this time, in milliseconds from the beginning
    #[arg(long)]
    state_at: Option<u64>,
    /// Write everything that is sent to this file, as lines of JSON
    #[arg(long)]
    record: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let (mut wrong, mut packets, mut longest) = (0u64, 0, std::time::Duration::ZERO);
    for seed in args.seed..args.seed + args.seeds {
        let record = match &args.record {
            Some(path) => Some(Box::new(BufWriter::new(File::create(path)?)) as Box<dyn std::io::Write>),
            None => None,
        };
        let story = play(
            seed,
            record,
            args.aloud,
            args.state_at.map(std::time::Duration::from_millis),
        );
        longest = longest.max(story.longest);
        packets = packets.max(story.packets);
        wrong += u64::from(!story.found.is_empty());
        if args.aloud || !story.found.is_empty() {
            println!("seed {seed}, at most {} packets of a node in a second:", story.packets);
            story.chapters.iter().for_each(|chapter| println!("  {chapter}"));
            story
                .found
                .iter()
                .take(5)
                .for_each(|found| println!("  at {:?}: {}", found.at, found.text));
        }
    }
    println!(
        "{} seeds, {wrong} wrong; the longest time without service was {longest:?}; at most {packets} packets of a node in a second",
        args.seeds
    );
    if wrong > 0 {
        bail!("{wrong} seeds went wrong");
    }
    Ok(())
}
