//! A row of faults by seed.

use std::time::Duration;

use lodestone_speaker::core::{
    Settings,
    settings::{Caretaker, Ownership},
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::{
    invariants::{Judge, Verdict},
    link_conditions::Weather,
    world::{Plan, World},
};

/// How a run has gone.
#[derive(Clone, Debug)]
pub struct Story {
    /// The seed that plays it again.
    pub seed: u64,
    /// What happened, in order.
    pub chapters: Vec<String>,
    /// What was wrong.
    pub found: Vec<Verdict>,
    /// The longest time for which an address was not served.
    pub longest: Duration,
    /// The most packets that a node's speaker sent and received in a second.
    pub packets: u64,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Restart,
    Freeze,
    PowerOff,
    Carrier,
    LanCut,
    PeersCut,
    Split,
    Stall,
    Mute,
    Loss,
    Late,
    Forged,
    ClockBack,
}

const FAULTS: [Fault; 14] = [
    Fault::Kill,
    Fault::Restart,
    Fault::Freeze,
    Fault::PowerOff,
    Fault::Carrier,
    Fault::LanCut,
    Fault::PeersCut,
    Fault::Split,
    Fault::Stall,
    Fault::Mute,
    Fault::Loss,
    Fault::Late,
    Fault::Forged,
    Fault::ClockBack,
];

/// Plays the story of a seed: a small cluster, and some faults, each of which ends before the next begins.
#[must_use]
pub fn play(seed: u64, record: Option<Box<dyn std::io::Write>>, aloud: bool, state_at: Option<Duration>) -> Story {
    let mut random = StdRng::seed_from_u64(seed);
    let settings = Settings {
        caretaker: *[Caretaker::Doubt, Caretaker::Doubt, Caretaker::Always, Caretaker::Off]
            .choose(&mut random)
            .unwrap_or(&Caretaker::Doubt),
        ownership: if random.random_bool(0.2) {
            Ownership::Hash
        } else {
            Ownership::Sticky
        },
        ..Settings::default()
    };
    let plan = Plan {
        seed,
        nodes: match random.random_range(0..100) {
            0..80 => random.random_range(2..=8),
            80..99 => random.random_range(9..=14),
            _ => random.random_range(15..=40),
        },
        addresses: random.random_range(1..=6),
        split: random.random_bool(0.5),
        settings,
    };
    let mut chapters = vec![format!("{plan:?}")];
    let mut world = World::new(plan.clone());
    world.record = record;
    world.lan.jitter = Duration::from_micros(random.random_range(0..3000));
    world.between = world.lan;
    let mut judge = Judge::new(world.now);
    judge.aloud = aloud;
    judge.state_at = state_at;
    if settings.caretaker == Caretaker::Off {
        // Without stand-ins an address is silent until it has moved, and with a frozen speaker that is not before it is suspected.
        judge.outage = Duration::from_millis(700);
    }
    judge.watch(&mut world, Duration::from_secs(4));
    judge.settle(&mut world);
    for _ in 0..random.random_range(1..=3) {
        let fault = *FAULTS.choose(&mut random).unwrap_or(&Fault::Kill);
        let node = random.random_range(0..plan.nodes);
        let long = Duration::from_millis(random.random_range(300..6000));
        chapters.push(format!("{:?} {fault:?} of node-{node} for {long:?}", world.time()));
        happen(&mut world, &mut judge, &mut random, fault, node, long);
        judge.disturbed(world.now);
        judge.watch(&mut world, Duration::from_millis(random.random_range(2000..5000)));
        judge.settle(&mut world);
    }
    judge.watch(&mut world, Duration::from_secs(3));
    judge.conclude(&mut world);
    Story {
        seed,
        chapters,
        found: judge.found().to_vec(),
        longest: judge.longest,
        packets: judge.packets,
    }
}

fn happen(world: &mut World, judge: &mut Judge, random: &mut StdRng, fault: Fault, node: usize, long: Duration) {
    judge.disturbed(world.now);
    if fault != Fault::Forged {
        judge.unwell(world.now, node);
    }
    match fault {
        Fault::Kill => {
            world.kill(node);
            judge.watch(world, long);
            world.start(node);
        }
        Fault::ClockBack => {
            // The process starts anew with a clock that is behind what it was at an earlier start.
            world.kill(node);
            judge.watch(world, long);
            world.set_clock_back(node);
            world.start(node);
        }
        Fault::Restart => {
            world.leave(node);
            judge.watch(world, Duration::from_millis(random.random_range(20..300)));
            world.kill(node);
            judge.watch(world, long);
            world.start(node);
        }
        Fault::Freeze => {
            world.nodes[node].frozen = true;
            judge.watch(world, long);
            world.thaw(node);
        }
        Fault::PowerOff => {
            world.power_off(node);
            judge.watch(world, long);
            world.nodes[node].up = true;
            judge.watch(world, Duration::from_millis(random.random_range(0..2000)));
            world.start(node);
        }
        Fault::Carrier => {
            world.set_carrier(node, false);
            judge.watch(world, long);
            world.set_carrier(node, true);
        }
        Fault::LanCut => {
            world.nodes[node].lan = 1;
            judge.watch(world, long);
            world.nodes[node].lan = 0;
        }
        Fault::PeersCut => {
            world.nodes[node].peers = 1;
            judge.watch(world, long);
            world.nodes[node].peers = 0;
        }
        Fault::Split => {
            // The cluster falls into two halves, on both networks. Promise P1 is of one node or link; here half of them go at once.
            judge.outage = judge.outage.max(Duration::from_millis(1000));
            for index in 0..world.nodes.len() {
                if random.random_bool(0.5) {
                    world.nodes[index].lan = 1;
                    world.nodes[index].peers = 1;
                }
            }
            if random.random_bool(0.3) {
                world.client_lan = 1;
            }
            judge.watch(world, long);
            for index in 0..world.nodes.len() {
                world.nodes[index].lan = 0;
                world.nodes[index].peers = 0;
                judge.unwell(world.now, index);
            }
            world.client_lan = 0;
        }
        Fault::Stall => {
            world.stall(node, long.min(Duration::from_millis(random.random_range(50..400))));
            judge.watch(world, long);
        }
        Fault::Mute => {
            world.nodes[node].mute = true;
            judge.watch(world, long);
            world.nodes[node].mute = false;
        }
        Fault::Loss => {
            let before = (world.lan, world.between);
            // Promise P1 leaves loss out, and what was learnt of it stays for a while.
            judge.outage = judge.outage.max(Duration::from_millis(1000));
            let loss = Weather {
                loss: random.random_range(0.02..0.3),
                duplicates: 0.05,
                ..world.lan
            };
            (world.lan, world.between) = (loss, loss);
            judge.watch(world, long);
            (world.lan, world.between) = before;
        }
        Fault::Forged => {
            // Everybody is told all the time that nobody listens on a node that is well.
            let end = world.now + long;
            while world.now < end {
                for index in (0..world.nodes.len()).filter(|index| *index != node) {
                    world.forge_unreachable(index, node);
                }
                judge.watch(world, Duration::from_millis(10));
            }
        }
        Fault::Late => {
            // A Service goes, and comes back, and one node hears nothing of it until later.
            let gone = world.facts.addresses.pop_first();
            world.nodes[node].told = false;
            world.tell_facts();
            judge.watch(world, long.min(Duration::from_secs(2)));
            world.facts.addresses.extend(gone);
            world.tell_facts();
            world.nodes[node].told = true;
            judge.disturbed(world.now);
            judge.watch(world, Duration::from_millis(700));
            world.tell_facts();
        }
    }
}
