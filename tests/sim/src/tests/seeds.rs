//! Random fault scenarios, each by many seeds.

use std::{sync::Mutex, thread};

use crate::{PlayOptions, Report, play};

/// Returns how many seeds to play: `LODESTONE_SEEDS`, or `default`.
fn seeds(default: u64) -> u64 {
    let wanted = std::env::var("LODESTONE_SEEDS").ok();
    wanted.map_or(default, |text| text.parse().expect("LODESTONE_SEEDS is a number"))
}

/// Plays the scenarios of that many seeds on all processors. Returns those that failed.
fn play_all(seeds: u64) -> Vec<Report> {
    let failed = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for (first, _) in (0..seeds).zip(0..threads) {
            let failed = &failed;
            scope.spawn(move || {
                for seed in (first..seeds).step_by(threads) {
                    let report = play(seed, PlayOptions::default());
                    if seed % 1000 == 999 {
                        println!("seed {seed}: {} seeds failed so far", failed.lock().unwrap().len());
                    }
                    if !report.violations.is_empty() {
                        println!("seed {seed} failed: {:?}", report.violations.first());
                        failed.lock().unwrap().push(report);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

/// An address has no outage above half a second while a node could serve it (P1). It moves only for
/// a reason, and does not move back (P3). Two owners remain only for a moment (P5).
#[test]
fn p1_p3_p5_invariants_hold_in_random_fault_scenarios() {
    let failed = play_all(seeds(1000));
    let examples: Vec<String> = failed.iter().take(3).map(|report| format!("{report:#?}")).collect();
    assert!(
        failed.is_empty(),
        "{} seeds failed, such as {}",
        failed.len(),
        examples.join("\n")
    );
}

/// Failures are analysed by replaying their seed.
#[test]
fn same_seed_replays_the_same_scenario() {
    let report = |seed| format!("{:?}", play(seed, PlayOptions::default()));
    assert_eq!(report(3), report(3));
}
