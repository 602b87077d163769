//! Nodes, the LAN, the network between the speakers, a client, and what goes over them.

mod network;
mod schedule;
mod spec;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
    io::Write,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use lodestone_speaker::{
    core::{Facts, Happening, Interface, Kind, Output, Speaker, facts::Node as NodeFacts},
    wire::message::{Datagram, Message, NodeName},
};
use pnet_base::MacAddr;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;

use network::{BETWEEN, LAN};
use schedule::{Due, Event};
pub use spec::{Plan, address};
use spec::{config, tenant};

use crate::link_conditions::Weather;

/// How long the answer takes that nobody listens on a node.
const ICMP: Duration = Duration::from_micros(200);

/// So many microseconds at most after its time a process runs.
const LATE: u64 = 1000;

/// How much later each start is, by the clock of the node.
const STARTS: u64 = 1_000_000;

/// The MAC of the client.
pub const CLIENT: MacAddr = MacAddr(2, 0xc, 0, 0, 0, 1);

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its speaker, if the process runs.
    pub speaker: Option<Speaker>,
    /// Whether it has power.
    pub up: bool,
    /// Whether the process is stopped, and will go on.
    pub frozen: bool,
    /// Until when nothing runs on it.
    pub stalled_until: Option<Instant>,
    /// Which part of the LAN it is on: only those on the same hear each other.
    pub lan: u8,
    /// Which part of the network between the speakers it is on.
    pub peers: u8,
    /// What it sends over the LAN arrives nowhere, though it hears all: a cut of one way.
    pub mute: bool,
    /// Whether its interface has a carrier.
    pub carrier: bool,
    /// Whether its speaker is told of changes at the API server.
    pub told: bool,
    /// Packets that its speaker has sent and received.
    pub packets: [u64; 2],
    boot: u64,
    sequence: u64,
    /// What arrived while nothing ran.
    waiting: Vec<Event>,
    turn: Option<Instant>,
}

impl Node {
    /// Whether what runs on it runs.
    #[must_use]
    pub fn runs(&self, now: Instant) -> bool {
        self.up && !self.frozen && self.stalled_until.is_none_or(|until| now >= until)
    }
}

/// Something that a speaker has said of itself.
#[derive(Clone, Debug)]
pub struct Told {
    /// When.
    pub at: Instant,
    /// Which node.
    pub node: usize,
    /// What.
    pub happening: Happening,
}

/// Everything.
pub struct World {
    /// When it is.
    pub now: Instant,
    /// When it began.
    pub start: Instant,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What the API server would tell.
    pub facts: Facts,
    /// The LAN.
    pub lan: Weather,
    /// The network between the speakers.
    pub between: Weather,
    /// Which part of the LAN the client is on.
    pub client_lan: u8,
    /// Where the client sends to, by what it has heard.
    pub cache: BTreeMap<IpAddr, MacAddr>,
    /// Which MACs have answered the client's last question.
    pub answers: BTreeMap<IpAddr, BTreeSet<MacAddr>>,
    /// What speakers have said of themselves since it was last looked at.
    pub told: Vec<Told>,
    /// Where everything that is sent is written, as lines of JSON.
    pub record: Option<Box<dyn Write>>,
    /// Chance.
    pub random: StdRng,
    plan: Plan,
    indices: HashMap<NodeName, usize>,
    queue: BinaryHeap<Reverse<Due>>,
    order: u64,
    lost_until: [Option<Instant>; 2],
}

impl World {
    /// A cluster of this kind, whose speakers have just been started.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let now = lodestone_daemon::clock::now();
        let names: Vec<NodeName> = (0..plan.nodes).map(|index| format!("node-{index}").into()).collect();
        let mut world = Self {
            now,
            start: now,
            nodes: Vec::new(),
            facts: Facts::default(),
            lan: Weather::default(),
            between: Weather::default(),
            client_lan: 0,
            cache: BTreeMap::new(),
            answers: BTreeMap::new(),
            told: Vec::new(),
            record: None,
            random: StdRng::seed_from_u64(plan.seed),
            queue: BinaryHeap::new(),
            order: 0,
            lost_until: [None; 2],
            indices: names.iter().cloned().zip(0..).collect(),
            plan,
        };
        let nodes = names.iter().enumerate().map(|(index, name)| {
            let facts = NodeFacts {
                address: Some(world.node_address(index)),
                ..NodeFacts::default()
            };
            (name.clone(), facts)
        });
        world.facts = Facts {
            nodes: nodes.collect(),
            addresses: (0..world.plan.addresses)
                .map(|index| (address(index), Arc::new(vec![tenant(index)])))
                .collect(),
            config: Arc::new(config()),
            ..Facts::default()
        };
        for name in names {
            world.nodes.push(Node {
                name,
                speaker: None,
                up: true,
                frozen: false,
                stalled_until: None,
                lan: 0,
                peers: 0,
                mute: false,
                carrier: true,
                told: true,
                packets: [0; 2],
                boot: 10 * STARTS,
                sequence: 0,
                waiting: Vec::new(),
                turn: None,
            });
        }
        for index in 0..world.nodes.len() {
            world.start(index);
        }
        world
    }

    /// How long it has been going on.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.now.saturating_duration_since(self.start)
    }

    fn interfaces(&self, index: usize) -> Vec<Interface> {
        let interface = |interface: u32, name: &str| {
            let addresses = [
                format!("{}/16", self.address_on(index, interface)),
                format!("fe80::{interface:x}:{:x}/64", index + 1),
            ];
            Interface {
                index: interface,
                name: name.to_owned(),
                mac: Some(network::mac(index, interface)),
                running: interface != LAN || self.nodes[index].carrier,
                asks: true,
                enslaved: false,
                excluded: false,
                addresses: addresses.iter().filter_map(|text| text.parse().ok()).collect(),
            }
        };
        let between = self.plan.split.then(|| interface(BETWEEN, "eth0"));
        [interface(LAN, "lan0")].into_iter().chain(between).collect()
    }

    /// Starts the speaker of a node.
    pub fn start(&mut self, index: usize) {
        let mut speaker = Speaker::new(self.now, self.nodes[index].name.clone(), self.plan.settings);
        speaker.interfaces(self.now, self.interfaces(index));
        let node = &mut self.nodes[index];
        node.boot += STARTS;
        node.sequence = 0;
        node.frozen = false;
        node.waiting.clear();
        node.speaker = Some(speaker);
        let later = Duration::from_micros(self.random.random_range(0..200_000));
        let facts = Arc::new(self.facts.clone());
        self.push(self.now + later, Event::Facts(index, facts));
        self.act(index);
    }

    /// Sets the clock of a node back, to before its last start.
    pub fn set_clock_back(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.boot = node.boot.saturating_sub(STARTS + 1);
    }

    /// Kills the speaker of a node.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].speaker = None;
    }

    /// Takes the power from a node, with all that runs on it.
    pub fn power_off(&mut self, index: usize) {
        self.nodes[index].up = false;
        self.nodes[index].speaker = None;
    }

    /// Gives a carrier, or takes it.
    pub fn set_carrier(&mut self, index: usize, carrier: bool) {
        self.nodes[index].carrier = carrier;
        let interfaces = self.interfaces(index);
        let now = self.now;
        if let Some(speaker) = &mut self.nodes[index].speaker {
            speaker.interfaces(now, interfaces);
        }
        self.act(index);
    }

    /// Lets a process go on that was stopped.
    pub fn thaw(&mut self, index: usize) {
        self.nodes[index].frozen = false;
        let waiting = std::mem::take(&mut self.nodes[index].waiting);
        for event in waiting {
            self.push(self.now, event);
        }
        self.nodes[index].turn = Some(self.now);
        self.push(self.now, Event::Turn(index));
    }

    /// Nothing runs on a node for a while.
    pub fn stall(&mut self, index: usize, time: Duration) {
        self.nodes[index].stalled_until = Some(self.now + time);
    }

    /// Somebody tells a node, in the name of another, that nobody listens there.
    pub fn forge_unreachable(&mut self, index: usize, of: usize) {
        let name = self.nodes[of].name.clone();
        self.push(self.now, Event::Unreachable(index, name));
    }

    /// Tells the speakers that are told of changes what the API server has, each at its own time.
    pub fn tell_facts(&mut self) {
        let facts = Arc::new(self.facts.clone());
        for index in 0..self.nodes.len() {
            if self.nodes[index].told {
                let later = Duration::from_micros(self.random.random_range(0..50_000));
                self.push(self.now + later, Event::Facts(index, facts.clone()));
            }
        }
    }

    fn index_of(&self, node: &NodeName) -> Option<usize> {
        self.indices.get(node).copied()
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Due {
            at,
            order: self.order,
            event: Box::new(event),
        }));
    }

    /// Lets time go by.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse(due)) = self.queue.peek()
            && due.at <= end
        {
            let Some(Reverse(due)) = self.queue.pop() else { break };
            self.now = self.now.max(due.at);
            self.handle(*due.event);
        }
        self.now = end;
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        let index = match &event {
            Event::Turn(index)
            | Event::Datagram(index, ..)
            | Event::Frame(index, ..)
            | Event::Facts(index, _)
            | Event::Unreachable(index, _) => *index,
            Event::ToClient(frame) => return self.client_hears(frame),
        };
        let node = &mut self.nodes[index];
        if !node.up {
            return;
        }
        // Only the turn that was last asked for.
        let is_turn = matches!(event, Event::Turn(_));
        if is_turn && node.turn.is_some_and(|turn| turn != now) {
            return;
        }
        if let Some(until) = node.stalled_until.filter(|until| now < *until) {
            if is_turn {
                node.turn = Some(until);
            }
            return self.push(until, event);
        }
        // The kernel answers for the node's own addresses, whatever becomes of the speaker.
        if let Event::Frame(_, interface, frame) = &event {
            self.kernel_hears(index, *interface, frame);
        }
        let node = &mut self.nodes[index];
        if is_turn {
            node.turn = None;
        }
        if node.frozen {
            if !matches!(event, Event::Turn(_)) && node.waiting.len() < 500 {
                node.waiting.push(event);
            }
            return;
        }
        let Some(speaker) = &mut node.speaker else {
            // Nobody listens there: its kernel says so.
            if let Event::Datagram(_, _, datagram) = event
                && datagram.message == Message::Heartbeat
                && let Some(sender) = self.index_of(&datagram.from)
            {
                self.push(now + ICMP, Event::Unreachable(sender, datagram.to));
            }
            return;
        };
        match event {
            Event::Turn(_) => speaker.turn(now),
            Event::Datagram(_, source, datagram) => {
                node.packets[1] += 1;
                speaker.datagram(now, source, datagram);
            }
            Event::Frame(_, interface, frame) => {
                let kind = if frame.get(12) == Some(&0x86) {
                    Kind::Ndp
                } else {
                    Kind::Arp
                };
                let is_up = interface != LAN || node.carrier;
                if is_up && let Some(answer) = speaker.frame(now, interface, kind, &frame) {
                    self.send_frame(index, interface, answer);
                }
            }
            Event::Facts(_, facts) => speaker.facts(now, facts),
            Event::Unreachable(_, node) => speaker.unreachable(now, &node),
            Event::ToClient(_) => {}
        }
        self.act(index);
    }

    /// Does what a speaker wants to have done.
    fn act(&mut self, index: usize) {
        loop {
            let Some(speaker) = &mut self.nodes[index].speaker else {
                return;
            };
            let Some(output) = speaker.poll() else { break };
            match output {
                Output::Send { to, address, message } => self.send(index, &to, address, message),
                Output::Frame { interface, frame } => self.send_frame(index, interface, frame),
                Output::Boot(boot) => self.nodes[index].boot = boot + 1,
                Output::Happening(happening) => self.told.push(Told {
                    at: self.now,
                    node: index,
                    happening,
                }),
                Output::Groups(_) | Output::Ownership(_) | Output::Problems(_) => {}
            }
        }
        let node = &self.nodes[index];
        let due = node.speaker.as_ref().and_then(Speaker::next_deadline);
        if let Some(due) = due.map(|due| due.max(self.now))
            && node.turn.is_none_or(|turn| due < turn || turn < self.now)
        {
            // No process runs on the dot.
            let due = due + Duration::from_micros(self.random.random_range(0..LATE));
            self.nodes[index].turn = Some(due);
            self.push(due, Event::Turn(index));
        }
    }

    /// Ends a speaker when it may, having told the others before.
    pub fn leave(&mut self, index: usize) {
        let now = self.now;
        if let Some(speaker) = &mut self.nodes[index].speaker {
            speaker.leave(now);
        }
        self.act(index);
    }

    fn send(&mut self, index: usize, to: &NodeName, address: IpAddr, message: Message) {
        let Some(target) = self.index_of(to) else { return };
        let over_lan = !self.plan.split || address == self.address_on(target, LAN);
        let node = &mut self.nodes[index];
        node.sequence += 1;
        node.packets[0] += 1;
        let datagram = Datagram {
            from: node.name.clone(),
            to: to.clone(),
            boot: node.boot,
            sequence: node.sequence,
            message,
        };
        self.write(
            "datagram",
            index,
            || json!({"to": &**to, "lan": over_lan, "message": format!("{:?}", datagram.message)}),
        );
        let (from, other) = (&self.nodes[index], &self.nodes[target]);
        let connected = if over_lan {
            from.lan == other.lan && from.carrier && other.carrier && !from.mute
        } else {
            from.peers == other.peers
        };
        if !connected || !other.up {
            return;
        }
        let source = if over_lan {
            self.address_on(index, LAN)
        } else {
            self.node_address(index)
        };
        for after in self.weather(over_lan) {
            self.push(self.now + after, Event::Datagram(target, source, datagram.clone()));
        }
    }

    fn write(&mut self, what: &str, node: usize, content: impl FnOnce() -> serde_json::Value) {
        let Some(record) = &mut self.record else { return };
        let at = self.now.saturating_duration_since(self.start).as_micros();
        let line = json!({"us": at, "node": &*self.nodes[node].name, what: content()});
        // A record that can't be written tells nothing: the run goes on.
        let _ = writeln!(record, "{line}");
    }
}
