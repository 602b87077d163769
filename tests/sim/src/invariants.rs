//! What must hold in a world at all times, and the checks for it.
//!
//! | Module | Invariant |
//! |---|---|
//! | `availability` | an address is served while any node could serve it |
//! | `single_responder` | only one MAC answers for an address |
//! | `fair_share` | after a cold start, no node owns more than its fair share, or than before |
//! | `moves` | an address moves only for a reason, and stays with the node that took it |
//! | `traffic` | speakers do not flood each other |

mod availability;
mod fair_share;
mod moves;
mod single_responder;
mod traffic;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use pnet_base::MacAddr;

use crate::world::World;

use availability::Availability;
use moves::Moves;
use single_responder::SingleResponder;
use traffic::PacketCount;

/// Interval between two checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Interval between two looks at who answers.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Interval between two requests of the client for each address.
const REQUEST_INTERVAL: Duration = Duration::from_millis(50);

/// The same on a quiet LAN.
const RARE_REQUEST_INTERVAL: Duration = Duration::from_secs(2);

/// How many times the client repeats its request at the end, until exactly one MAC answers.
const FINAL_REQUESTS: usize = 20;

/// Time for the answers to a request at the end.
const FINAL_ANSWER: Duration = Duration::from_millis(20);

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When it was found, from the beginning.
    pub at: Duration,
    /// What is wrong.
    pub text: String,
}

/// Checks a world while it runs.
#[derive(Debug)]
pub struct Invariants {
    /// How long an address may be without service while a node could serve it.
    pub max_outage: Duration,
    /// Whether to print every event of the speakers.
    pub aloud: bool,
    /// When to print the state of all speakers, from the beginning.
    pub state_at: Option<Duration>,
    /// The last disturbance. Limits count from here.
    quiet_since: Instant,
    next_look: Instant,
    next_request: Instant,
    availability: Availability,
    single_responder: SingleResponder,
    moves: Moves,
    traffic: PacketCount,
    violations: Vec<Violation>,
}

impl Invariants {
    /// Returns checks for a world that begins now.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            max_outage: Duration::from_millis(500),
            aloud: false,
            state_at: None,
            quiet_since: now,
            next_look: now,
            next_request: now,
            availability: Availability::new(),
            single_responder: SingleResponder::new(),
            moves: Moves::new(),
            traffic: PacketCount::new(now),
            violations: Vec::new(),
        }
    }

    /// Notes that the scenario changed something. What follows from that gets the full limits.
    pub fn note_disturbance(&mut self, now: Instant) {
        self.quiet_since = now;
    }

    /// Notes that a node is impaired. That is a reason for its addresses to move.
    pub fn note_impaired(&mut self, now: Instant, node: usize) {
        self.moves.note_impaired(now, node);
    }

    /// Notes that a node cannot answer on the LAN, whatever its speaker does.
    pub fn note_unreachable(&mut self, now: Instant, node: usize) {
        self.moves.note_unreachable(now, node);
    }

    /// Returns all violations so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Returns the longest time for which an address was not served.
    #[must_use]
    pub const fn longest_outage(&self) -> Duration {
        self.availability.longest
    }

    /// Returns the most datagrams that a speaker sent and received in one second.
    #[must_use]
    pub const fn max_packets(&self) -> u64 {
        self.traffic.max
    }

    /// Lets `time` pass in the world, and checks it all the while.
    pub fn watch(&mut self, world: &mut World, time: Duration) {
        let end = world.now + time;
        while world.now < end {
            world.run(CHECK_INTERVAL);
            self.check(world);
        }
    }

    fn check(&mut self, world: &mut World) {
        self.print_state(world);
        self.note_impaired_nodes(world);
        self.take_events(world);
        let storms = self.traffic.check(world);
        self.report(world, storms);
        let outages = self.availability.check(world, self.max_outage, self.quiet_since);
        self.report(world, outages);
        if world.now >= self.next_look {
            self.next_look = world.now + LOOK_INTERVAL;
            self.moves.note_responders(world);
            let doubles = self.single_responder.check(world, self.quiet_since);
            self.report(world, doubles);
        }
        if world.now >= self.next_request {
            let is_quiet = world.spec.quiet;
            self.next_request = world.now
                + if is_quiet {
                    RARE_REQUEST_INTERVAL
                } else {
                    REQUEST_INTERVAL
                };
            for address in addresses(world) {
                world.send_client_request(address);
            }
        }
    }

    fn print_state(&mut self, world: &World) {
        if self.state_at.is_some_and(|at| world.elapsed() >= at) {
            self.state_at = None;
            for speaker in world.nodes.iter().filter_map(|node| node.speaker.as_ref()) {
                println!("{}", speaker.debug_state(world.now));
            }
        }
    }

    fn note_impaired_nodes(&mut self, world: &World) {
        for (index, node) in world.nodes.iter().enumerate() {
            let is_healthy =
                node.has_running_speaker(world.now) && world.is_reachable(index) && node.node_network_part == 0;
            if !is_healthy {
                self.moves.note_impaired(world.now, index);
            }
            let can_answer = world.is_reachable(index) && node.node_network_part == 0 && world.lan.loss == 0.0;
            if !can_answer {
                self.moves.note_unreachable(world.now, index);
            }
        }
    }

    fn take_events(&mut self, world: &mut World) {
        for observed in std::mem::take(&mut world.observed) {
            if self.aloud {
                println!(
                    "  {:>9.3?} {}: {}",
                    observed.at - world.start,
                    world.nodes[observed.node].name,
                    observed.event
                );
            }
            let wrong = self.moves.check_event(world, &observed);
            self.report(world, wrong);
        }
    }

    /// Checks the owners of all addresses after the scenario has repaired what it disturbed.
    pub fn check_settled(&mut self, world: &mut World) {
        self.take_events(world);
        let wrong = self.moves.check_settled(world);
        self.report(world, wrong);
    }

    /// Checks after a cold start, when all nodes had time to spread the addresses. `before` counts
    /// the addresses of each node before the start.
    pub fn check_fair_shares(&mut self, world: &World, before: &BTreeMap<usize, usize>) {
        let wrong = fair_share::check(world, before);
        self.report(world, wrong);
    }

    /// Checks at the end, when all is repaired and quiet, that each address has exactly one owner.
    pub fn conclude(&mut self, world: &mut World) {
        for address in addresses(world) {
            let macs = final_answers(world, address);
            if macs.len() != 1 {
                self.report(world, [format!("at the end {macs:?} answer for {address}")]);
            }
        }
        self.moves.note_responders(world);
        self.check_settled(world);
    }

    fn report(&mut self, world: &World, texts: impl IntoIterator<Item = String>) {
        let at = world.elapsed();
        let violations = texts.into_iter().map(|text| Violation { at, text });
        self.violations.extend(violations);
    }
}

/// Returns the MACs that answer for an address. Repeats the request unless there is exactly one,
/// because a planned handover may be under way.
fn final_answers(world: &mut World, address: IpAddr) -> BTreeSet<MacAddr> {
    let mut macs = BTreeSet::new();
    for _ in 0..FINAL_REQUESTS {
        world.send_client_request(address);
        world.run(FINAL_ANSWER);
        macs = world.client.answers.get(&address).cloned().unwrap_or_default();
        if macs.len() == 1 {
            break;
        }
    }
    macs
}

fn addresses(world: &World) -> Vec<IpAddr> {
    world.snapshot.addresses.keys().copied().collect()
}
