//! What must never happen.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::world::World;

mod moves;

use moves::Moves;

/// How often it is looked.
pub const LOOK: Duration = Duration::from_millis(10);

/// So many packets of a node in a second, and so many more for each node, are a storm, and no answer to anything that happens.
const STORM: (u64, u64) = (600, 120);

/// How often the client asks anew.
const ASK: Duration = Duration::from_millis(50);

/// What was wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Since the beginning.
    pub at: Duration,
    /// What.
    pub text: String,
}

/// Looks at a world all the time.
#[derive(Debug)]
pub struct Judge {
    /// How long an address may be without anybody who serves it while a node could.
    pub outage: Duration,
    /// How long two may answer for it.
    pub doubled: Duration,
    /// The longest time for which an address was not served.
    pub longest: Duration,
    /// The most packets that a node's speaker sent and received in a second.
    pub packets: u64,
    /// Whether to print what the speakers say.
    pub aloud: bool,
    /// When to print all that the speakers know.
    pub state_at: Option<Duration>,
    /// Since when nothing has been changed from outside.
    quiet_since: Instant,
    moves: Moves,
    unserved: BTreeMap<IpAddr, Instant>,
    twice: BTreeMap<IpAddr, Instant>,
    next_ask: Instant,
    asked: Option<Instant>,
    /// When packets were last counted, and how many there were of each node.
    counted: (Instant, Vec<u64>),
    found: Vec<Verdict>,
}

impl Judge {
    /// Begins to look.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            outage: Duration::from_millis(500),
            doubled: Duration::from_millis(250),
            longest: Duration::ZERO,
            packets: 0,
            aloud: false,
            state_at: None,
            quiet_since: now,
            moves: Moves::new(),
            unserved: BTreeMap::new(),
            twice: BTreeMap::new(),
            next_ask: now,
            asked: None,
            counted: (now, Vec::new()),
            found: Vec::new(),
        }
    }

    /// Something was changed from outside: what follows from it is counted from now on.
    pub fn disturbed(&mut self, now: Instant) {
        self.quiet_since = now;
    }

    /// A node is not well, for whatever reason: if its addresses move, there was one.
    pub fn unwell(&mut self, now: Instant, node: usize) {
        self.moves.unwell(now, node);
    }

    /// What was wrong.
    #[must_use]
    pub fn found(&self) -> &[Verdict] {
        &self.found
    }

    /// Lets time go by, and looks.
    pub fn watch(&mut self, world: &mut World, time: Duration) {
        let end = world.now + time;
        while world.now < end {
            world.run(LOOK);
            self.look(world);
        }
    }

    fn look(&mut self, world: &mut World) {
        let now = world.now;
        if self.state_at.is_some_and(|at| world.time() >= at) {
            self.state_at = None;
            for speaker in world.nodes.iter().filter_map(|node| node.speaker.as_ref()) {
                println!("{}", speaker.describe(now));
            }
        }
        for index in 0..world.nodes.len() {
            let node = &world.nodes[index];
            if node.speaker.is_none() || !node.runs(now) || !world.is_on_lan(index) || node.peers != 0 {
                self.moves.unwell(now, index);
            }
        }
        self.listen(world);
        self.count(world);
        let addresses: Vec<IpAddr> = world.facts.addresses.keys().copied().collect();
        // Somebody could serve it if there is a speaker that runs and is there for the client.
        let could = (0..world.nodes.len()).any(|index| {
            let node = &world.nodes[index];
            node.speaker.is_some() && node.runs(now) && world.is_on_lan(index)
        });
        for address in &addresses {
            let served = world.cache.get(address).is_some_and(|mac| world.serves(*mac));
            if served || !could {
                self.unserved.remove(address);
                continue;
            }
            let since = *self.unserved.entry(*address).or_insert(now);
            let outage = now.saturating_duration_since(since);
            self.longest = self.longest.max(outage);
            if outage > self.outage && now.saturating_duration_since(self.quiet_since) > self.outage {
                let owner = world.cache.get(address).map(ToString::to_string).unwrap_or_default();
                self.fault(
                    world,
                    format!("{address} has not been served for {outage:?}; the client sends to {owner}"),
                );
                self.unserved.insert(*address, now);
            }
        }
        // A question's answers are all there before the next one.
        if now >= self.next_ask {
            self.next_ask = now + ASK;
            self.moves.see(world);
            for address in &addresses {
                if self.asked.is_some() && world.answers.get(address).is_some_and(|macs| macs.len() > 1) {
                    let since = *self.twice.entry(*address).or_insert(now);
                    let long = now.saturating_duration_since(since) > self.doubled;
                    if long && now.saturating_duration_since(self.quiet_since) > self.doubled {
                        let macs = world.answers.get(address).cloned().unwrap_or_default();
                        self.fault(
                            world,
                            format!("{address} is answered for by {macs:?} since {:?}", now - since),
                        );
                        self.twice.insert(*address, now);
                    }
                } else {
                    self.twice.remove(address);
                }
                world.client_asks(*address);
            }
            self.asked = Some(now);
        }
    }

    /// Hears what the speakers say.
    fn listen(&mut self, world: &mut World) {
        for told in std::mem::take(&mut world.told) {
            if self.aloud {
                println!(
                    "  {:>9.3?} {}: {}",
                    told.at - world.start,
                    world.nodes[told.node].name,
                    told.happening
                );
            }
            if let Some(text) = self.moves.hear(world, &told) {
                self.fault(world, text);
            }
        }
    }

    /// Whatever happens, speakers never talk each other to death.
    fn count(&mut self, world: &World) {
        let now = world.now;
        if now < self.counted.0 + Duration::from_secs(1) {
            return;
        }
        let all: Vec<u64> = world.nodes.iter().map(|node| node.packets.iter().sum()).collect();
        let storm = STORM.0 + STORM.1 * u64::try_from(all.len()).unwrap_or(u64::MAX);
        let (_, before) = std::mem::replace(&mut self.counted, (now, all.clone()));
        for (index, (all, before)) in all.iter().zip(before).enumerate() {
            let packets = all - before;
            self.packets = self.packets.max(packets);
            if packets > storm {
                let node = &world.nodes[index].name;
                self.fault(world, format!("{node} sent and received {packets} packets in a second"));
            }
        }
    }

    /// What was disturbed is well again, for a while now: each address is with who took it, or else where it was.
    pub fn settle(&mut self, world: &mut World) {
        self.listen(world);
        for text in self.moves.settle(world) {
            self.fault(world, text);
        }
    }

    /// At the end, when all is well and quiet, every address has one owner, and all agree.
    pub fn conclude(&mut self, world: &mut World) {
        let addresses: Vec<IpAddr> = world.facts.addresses.keys().copied().collect();
        for address in addresses {
            // It may be just about to move, as planned.
            let mut macs = std::collections::BTreeSet::new();
            for _ in 0..20 {
                world.client_asks(address);
                world.run(Duration::from_millis(20));
                macs = world.answers.get(&address).cloned().unwrap_or_default();
                if macs.len() == 1 {
                    break;
                }
            }
            if macs.len() != 1 {
                self.fault(world, format!("at the end {address} is answered for by {macs:?}"));
            }
        }
        self.moves.see(world);
        self.settle(world);
    }

    fn fault(&mut self, world: &World, text: String) {
        self.found.push(Verdict { at: world.time(), text });
    }
}
