//! Nodes, the LAN, the network between the speakers, a client, and what goes over them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use lodestone_crds::{Config, IPAddressPool, L2Advertisement, Labels, Resources};
use lodestone_daemon::ObjectKey;
use lodestone_speaker::{
    core::{
        Facts, Happening, Interface, Kind, Output, Settings, Speaker,
        facts::{Endpoints, Node as NodeFacts, Tenant},
    },
    wire::{
        arp,
        message::{Datagram, Message, NodeName},
        ndp,
    },
};
use pnet_base::MacAddr;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::net::Weather;

/// The interface that addresses are announced on, at every node.
const LAN: u32 = 2;

/// How long the answer takes that nobody listens on a node.
const ICMP: Duration = Duration::from_micros(200);

/// The MAC of the client.
pub const CLIENT: MacAddr = MacAddr(2, 0xc, 0, 0, 0, 1);

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// From which everything that is by chance follows.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How many addresses; every third is of IPv6.
    pub addresses: usize,
    /// Whether the speakers talk over another network than the one that addresses are announced on.
    pub split: bool,
    /// What the user has chosen.
    pub settings: Settings,
}

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
    /// Its MAC on the LAN.
    #[must_use]
    pub fn mac(&self, index: usize) -> MacAddr {
        let [_, _, a, b] = u32::try_from(index).unwrap_or_default().to_be_bytes();
        MacAddr(2, 0, 0, 0, a, b)
    }

    /// Whether what runs on it runs.
    #[must_use]
    pub fn runs(&self, now: Instant) -> bool {
        self.up && !self.frozen && self.stalled_until.is_none_or(|until| now >= until)
    }
}

#[derive(Clone, Debug)]
enum Event {
    Turn(usize),
    Datagram(usize, IpAddr, Datagram),
    Frame(usize, Vec<u8>),
    ToClient(Vec<u8>),
    Facts(usize, Arc<Facts>),
    Unreachable(usize, NodeName),
}

#[derive(Debug)]
struct Due {
    at: Instant,
    order: u64,
    event: Box<Event>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
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
                boot: 0,
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

    /// The address of a node in Kubernetes.
    fn node_address(&self, index: usize) -> IpAddr {
        let [_, _, a, b] = u32::try_from(index + 1).unwrap_or_default().to_be_bytes();
        let net = if self.plan.split { 10 } else { 172 };
        Ipv4Addr::new(net, 1, a, b).into()
    }

    fn lan_address(index: usize) -> IpAddr {
        let [_, _, a, b] = u32::try_from(index + 1).unwrap_or_default().to_be_bytes();
        Ipv4Addr::new(172, 1, a, b).into()
    }

    fn interfaces(&self, index: usize) -> Vec<Interface> {
        let addresses = [
            format!("{}/16", Self::lan_address(index)),
            format!("fe80::{:x}/64", index + 1),
            "2001:db8::ffff/64".to_owned(),
        ];
        vec![Interface {
            index: LAN,
            name: "lan0".to_owned(),
            mac: Some(self.nodes[index].mac(index)),
            running: self.nodes[index].carrier,
            asks: true,
            enslaved: false,
            excluded: false,
            addresses: addresses.iter().take(2).filter_map(|text| text.parse().ok()).collect(),
        }]
    }

    /// Starts the speaker of a node.
    pub fn start(&mut self, index: usize) {
        let mut speaker = Speaker::new(self.now, self.nodes[index].name.clone(), self.plan.settings);
        speaker.interfaces(self.now, self.interfaces(index));
        let node = &mut self.nodes[index];
        node.boot += 1_000_000;
        node.sequence = 0;
        node.frozen = false;
        node.waiting.clear();
        node.speaker = Some(speaker);
        let later = Duration::from_micros(self.random.random_range(0..200_000));
        let facts = Arc::new(self.facts.clone());
        self.push(self.now + later, Event::Facts(index, facts));
        self.act(index);
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
            | Event::Frame(index, _)
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
        if let Event::Frame(_, frame) = &event {
            self.kernel_hears(index, frame);
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
                && let Some(sender) = self.nodes.iter().position(|node| node.name == datagram.from)
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
            Event::Frame(_, frame) => {
                let kind = if frame.get(12) == Some(&0x86) {
                    Kind::Ndp
                } else {
                    Kind::Arp
                };
                if node.carrier
                    && let Some(answer) = speaker.frame(now, LAN, kind, &frame)
                {
                    self.send_frame(index, answer);
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
                Output::Frame { frame, .. } => self.send_frame(index, frame),
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
        let Some(target) = self.nodes.iter().position(|node| node.name == *to) else {
            return;
        };
        let over_lan = !self.plan.split || address == Self::lan_address(target);
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
            Self::lan_address(index)
        } else {
            self.node_address(index)
        };
        for after in self.weather(over_lan) {
            self.push(self.now + after, Event::Datagram(target, source, datagram.clone()));
        }
    }

    fn weather(&mut self, lan: bool) -> Vec<Duration> {
        let weather = if lan { self.lan } else { self.between };
        let lost = &mut self.lost_until[usize::from(lan)];
        if lost.is_some_and(|until| self.now < until) {
            return Vec::new();
        }
        if weather.burst_chance > 0.0 && self.random.random_bool(weather.burst_chance) {
            *lost = Some(self.now + weather.burst);
        }
        weather.arrivals(&mut self.random)
    }

    fn send_frame(&mut self, index: usize, frame: Vec<u8>) {
        let node = &self.nodes[index];
        if !node.carrier || node.mute {
            return;
        }
        let lan = node.lan;
        self.write("frame", index, || json!({"bytes": hex(&frame)}));
        self.carry(lan, Some(index), frame);
    }

    /// Carries a frame to whom it is for, on one part of the LAN.
    fn carry(&mut self, lan: u8, from: Option<usize>, frame: Vec<u8>) {
        let Some(destination) = frame.first_chunk::<6>().copied() else {
            return;
        };
        let to_all = destination[0] & 1 == 1;
        for target in 0..self.nodes.len() {
            let node = &self.nodes[target];
            let for_it = to_all || destination == <[u8; 6]>::from(node.mac(target));
            if Some(target) != from && node.lan == lan && node.up && node.carrier && for_it {
                for after in self.weather(true) {
                    self.push(self.now + after, Event::Frame(target, frame.clone()));
                }
            }
        }
        let for_client = to_all || destination == <[u8; 6]>::from(CLIENT);
        if from.is_some() && self.client_lan == lan && for_client {
            for after in self.weather(true) {
                self.push(self.now + after, Event::ToClient(frame.clone()));
            }
        }
    }

    /// The kernel of a node answers for the address of the node.
    fn kernel_hears(&mut self, index: usize, frame: &[u8]) {
        let mac = self.nodes[index].mac(index);
        let answer = arp::Packet::read(frame)
            .filter(|packet| !packet.reply && IpAddr::from(packet.target) == Self::lan_address(index))
            .map(|packet| packet.answer(mac, mac).to_vec());
        if let Some(answer) = answer {
            self.send_frame(index, answer);
        }
    }

    /// The client asks for an address, as one that knows nothing does.
    pub fn client_asks(&mut self, address: IpAddr) {
        self.answers.remove(&address);
        let frame = match address {
            IpAddr::V4(v4) => arp::request(CLIENT, Ipv4Addr::new(172, 1, 255, 1), v4).into(),
            IpAddr::V6(v6) => ndp::solicit(CLIENT, Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xffff, 1)), v6),
        };
        self.carry(self.client_lan, None, frame);
    }

    fn client_hears(&mut self, frame: &[u8]) {
        let (address, mac, solicited) = if let Some(packet) = arp::Packet::read(frame) {
            (
                IpAddr::from(packet.sender),
                packet.sender_mac,
                packet.reply && packet.destination == CLIENT,
            )
        } else if let Some(ndp::Packet::Advertisement(packet)) = ndp::Packet::read(frame) {
            let to_client = frame.first_chunk::<6>() == Some(&<[u8; 6]>::from(CLIENT));
            (
                packet.target.into(),
                packet.target_mac.unwrap_or(packet.source),
                to_client,
            )
        } else {
            return;
        };
        if !self.facts.addresses.contains_key(&address) {
            return;
        }
        if solicited {
            self.answers.entry(address).or_default().insert(mac);
            // It asks as another would: what it knows, only those who speak up unasked change.
            self.cache.entry(address).or_insert(mac);
            return;
        }
        self.cache.insert(address, mac);
    }

    /// The node that has a MAC.
    #[must_use]
    pub fn node_of(&self, mac: MacAddr) -> Option<usize> {
        (0..self.nodes.len()).find(|index| self.nodes[*index].mac(*index) == mac)
    }

    /// Whether what the client sends to a MAC arrives at a node that carries it on.
    #[must_use]
    pub fn serves(&self, mac: MacAddr) -> bool {
        self.node_of(mac).is_some_and(|index| self.is_on_lan(index))
    }

    /// Whether a node is there for the client, whatever becomes of its speaker.
    #[must_use]
    pub fn is_on_lan(&self, index: usize) -> bool {
        let node = &self.nodes[index];
        node.up
            && node.carrier
            && node.lan == self.client_lan
            && !node.mute
            && node.stalled_until.is_none_or(|until| self.now >= until)
    }

    fn write(&mut self, what: &str, node: usize, content: impl FnOnce() -> serde_json::Value) {
        let Some(record) = &mut self.record else { return };
        let at = self.now.saturating_duration_since(self.start).as_micros();
        let line = json!({"us": at, "node": &*self.nodes[node].name, what: content()});
        // A record that can't be written tells nothing: the run goes on.
        let _ = writeln!(record, "{line}");
    }
}

/// The address with this number.
#[must_use]
pub fn address(index: usize) -> IpAddr {
    let number = u32::try_from(index).unwrap_or_default();
    if index % 3 == 2 {
        Ipv6Addr::from(0x2001_0db8_0000_0001_0000_0000_0000_0000 + u128::from(number)).into()
    } else {
        Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 1, 200, 0)) + number).into()
    }
}

fn tenant(index: usize) -> Tenant {
    Tenant {
        service: ObjectKey::new("n", &format!("s{index}")),
        labels: Labels::new(),
        local: false,
        shares: false,
        pool: None,
        endpoints: Arc::new(Endpoints {
            elsewhere: true,
            ..Endpoints::default()
        }),
    }
}

/// A pool with all addresses, announced everywhere.
fn config() -> Config {
    let object = |kind: &str, spec: serde_json::Value| json!({"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": {"name": "a"}, "spec": spec});
    let pool = object(
        "IPAddressPool",
        json!({"addresses": ["172.1.200.0/22", "2001:db8:0:1::/112"]}),
    );
    let pool: Option<IPAddressPool> = serde_json::from_value(pool).ok();
    let advertisement: Option<L2Advertisement> = serde_json::from_value(object("L2Advertisement", json!({}))).ok();
    Config::build(&Resources {
        pools: pool.into_iter().collect(),
        l2_advertisements: advertisement.into_iter().collect(),
        undecodable: vec![],
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
