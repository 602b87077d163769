//! A scenario: a small cluster and a few faults, all chosen by a seed. Each fault ends before the
//! next begins.

mod fault;

use std::{fmt, io::Write, time::Duration};

use lodestone_speaker_core::{DeputyMode, OwnershipMode, Settings};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::{
    invariants::{Invariants, Violation},
    world::{ExtraInterface, World, WorldSpec},
};

use fault::{FAULTS, Fault};

/// The interfaces that nodes may have besides.
const EXTRA_INTERFACES: [ExtraInterface; 5] = [
    ExtraInterface::None,
    ExtraInterface::None,
    ExtraInterface::Overlay,
    ExtraInterface::Storage,
    ExtraInterface::SecondPort,
];

/// How a scenario went.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed, which replays it.
    pub seed: u64,
    /// The cluster, and the faults in their order.
    pub steps: Vec<String>,
    /// Broken invariants.
    pub violations: Vec<Violation>,
    /// The longest time for which an address was not served.
    pub longest_outage: Duration,
    /// The most datagrams that a speaker sent and received in one second.
    pub max_packets: u64,
}

/// What to print and write while a scenario runs.
#[derive(Default)]
pub struct PlayOptions {
    /// Receives every packet that is sent, as lines of JSON.
    pub record: Option<Box<dyn Write>>,
    /// Whether to print every event of the speakers.
    pub aloud: bool,
    /// When to print the state of all speakers, from the beginning.
    pub state_at: Option<Duration>,
}

impl fmt::Debug for PlayOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlayOptions")
            .field("record", &self.record.is_some())
            .field("aloud", &self.aloud)
            .field("state_at", &self.state_at)
            .finish()
    }
}

/// Plays the scenario of a seed.
#[must_use]
pub fn play(seed: u64, options: PlayOptions) -> Report {
    let mut scenario = Scenario::new(seed, options);
    scenario.run();
    Report {
        seed,
        steps: scenario.steps,
        violations: scenario.invariants.violations().to_vec(),
        longest_outage: scenario.invariants.longest_outage(),
        max_packets: scenario.invariants.max_packets(),
    }
}

struct Scenario {
    world: World,
    invariants: Invariants,
    random: StdRng,
    steps: Vec<String>,
}

impl Scenario {
    fn new(seed: u64, options: PlayOptions) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let spec = choose_spec(&mut random, seed);
        let steps = vec![format!("{spec:?}")];
        let has_no_deputies = spec.settings.deputy == DeputyMode::Off;
        let mut world = World::new(spec);
        world.record = options.record;
        world.lan.jitter = Duration::from_micros(random.random_range(0..3000));
        world.node_network = world.lan;
        let mut invariants = Invariants::new(world.now);
        invariants.aloud = options.aloud;
        invariants.state_at = options.state_at;
        if has_no_deputies {
            // Without deputies, an address has no responder until it has moved. A frozen speaker
            // loses its addresses only when it is marked failed.
            invariants.max_outage = Duration::from_millis(700);
        }
        Self {
            world,
            invariants,
            random,
            steps,
        }
    }

    fn run(&mut self) {
        self.watch(Duration::from_secs(4));
        self.invariants.check_settled(&mut self.world);
        for _ in 0..self.random.random_range(1..=3) {
            let fault = *FAULTS.choose(&mut self.random).unwrap_or(&Fault::Kill);
            let node = self.random.random_range(0..self.world.nodes.len());
            let duration = self.random_millis(300..6000);
            let at = self.world.elapsed();
            self.steps
                .push(format!("{at:?} {fault:?} of node-{node} for {duration:?}"));
            self.play_fault(fault, node, duration);
            self.invariants.note_disturbance(self.world.now);
            let pause = self.random_millis(2000..5000);
            self.watch(pause);
            self.invariants.check_settled(&mut self.world);
        }
        self.watch(Duration::from_secs(3));
        self.invariants.conclude(&mut self.world);
    }

    fn watch(&mut self, time: Duration) {
        self.invariants.watch(&mut self.world, time);
    }

    fn random_millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.random_range(range))
    }
}

/// Chooses a cluster. Most are small, so that a seed takes milliseconds.
fn choose_spec(random: &mut StdRng, seed: u64) -> WorldSpec {
    let settings = Settings {
        deputy: *[
            DeputyMode::OnSuspect,
            DeputyMode::OnSuspect,
            DeputyMode::Always,
            DeputyMode::Off,
        ]
        .choose(random)
        .unwrap_or(&DeputyMode::OnSuspect),
        ownership: if random.random_bool(0.2) {
            OwnershipMode::Hash
        } else {
            OwnershipMode::Sticky
        },
        ..Settings::default()
    };
    let nodes = match random.random_range(0..100) {
        0..80 => random.random_range(2..=8),
        80..99 => random.random_range(9..=14),
        _ => random.random_range(15..=40),
    };
    let is_mixed = random.random_bool(0.2);
    WorldSpec {
        seed,
        nodes,
        older: if is_mixed { random.random_range(1..=nodes) } else { 0 },
        addresses: random.random_range(1..=6),
        split: random.random_bool(0.5),
        extra: *EXTRA_INTERFACES.choose(random).unwrap_or(&ExtraInterface::None),
        quiet: random.random_bool(0.3),
        settings,
    }
}
