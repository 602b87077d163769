//! Several speakers on a virtual LAN, with a virtual clock.

use super::*;

/// Whether a message gets lost on its way to a node.
type Losing = dyn Fn(&str, &Message) -> bool;

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) facts: Facts,
    pub(super) running: BTreeMap<String, Speaker>,
    pub(super) boots: BTreeMap<String, u64>,
    pub(super) sequence: u64,
    /// Nodes whose messages are lost, both ways.
    pub(super) cut: BTreeSet<String>,
    /// Messages from the first to the second are lost.
    pub(super) deaf: BTreeSet<(String, String)>,
    /// Messages that are lost on their way to a node.
    pub(super) losing: Option<Box<Losing>>,
    /// Each change of what a node says that it owns: node, number of addresses.
    pub(super) history: Vec<(String, usize)>,
    pub(super) frames: usize,
    /// A host that is none of the cluster's, and has the address that is asked for.
    pub(super) foreign: Option<(Ipv4Addr, MacAddr)>,
    pub(super) settings: Settings,
}

impl World {
    pub(super) fn new(nodes: &[&str], addresses: &[&str]) -> Self {
        let node = |(index, name): (usize, &&str)| {
            let address = format!("10.0.0.{}", index + 1).parse().unwrap();
            (
                NodeName::from(*name),
                Node {
                    address: Some(address),
                    labels: Labels::new(),
                    ..Node::default()
                },
            )
        };
        let tenant = |address: &&str| Tenant {
            service: ObjectKey::new("n", address),
            labels: Labels::new(),
            local: false,
            shares: false,
            pool: None,
            endpoints: Arc::new(Endpoints {
                elsewhere: true,
                ..Endpoints::default()
            }),
        };
        let facts = Facts {
            nodes: nodes.iter().enumerate().map(node).collect(),
            addresses: addresses
                .iter()
                .map(|address| (address.parse().unwrap(), Arc::new(vec![tenant(address)])))
                .collect(),
            config: Arc::new(config(&[json!({})])),
            ..Facts::default()
        };
        let now = lodestone_runtime::clock::now();
        let mut world = Self {
            now,
            facts,
            running: BTreeMap::new(),
            boots: BTreeMap::new(),
            sequence: 0,
            cut: BTreeSet::new(),
            deaf: BTreeSet::new(),
            losing: None,
            history: Vec::new(),
            frames: 0,
            foreign: None,
            settings: Settings::default(),
        };
        nodes.iter().for_each(|node| world.start(node));
        world
    }

    pub(super) fn start(&mut self, node: &str) {
        let mut speaker = Speaker::new(self.now, node.into(), self.settings);
        let index = u32::try_from(self.facts.nodes.keys().position(|name| &**name == node).unwrap()).unwrap() + 1;
        speaker.interfaces(
            self.now,
            vec![ethernet(index, "eth0", &["192.0.2.250/24", "fe80::1/64"])],
        );
        speaker.facts(self.now, Arc::new(self.facts.clone()));
        self.running.insert(node.to_owned(), speaker);
        *self.boots.entry(node.to_owned()).or_default() += 1;
    }

    pub(super) fn tell_facts(&mut self) {
        let facts = Arc::new(self.facts.clone());
        for speaker in self.running.values_mut() {
            speaker.facts(self.now, facts.clone());
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            self.turn();
            while self.deliver() {
                self.turn();
            }
        }
    }

    pub(super) fn turn(&mut self) {
        for speaker in self.running.values_mut() {
            if speaker.next_deadline().is_some_and(|due| due <= self.now) {
                speaker.turn(self.now);
            }
        }
    }

    pub(super) fn deliver(&mut self) -> bool {
        let mut sent = Vec::new();
        let foreign = self.foreign;
        for (node, speaker) in &mut self.running {
            while let Some(output) = speaker.poll() {
                match output {
                    Output::Send { to, message, .. } => sent.push((node.clone(), to, message)),
                    Output::Boot(boot) => {
                        self.boots.insert(node.clone(), boot + 1);
                    }
                    Output::Frame { interface, frame } => {
                        self.frames += 1;
                        let asked = arp::Packet::read(&frame).filter(|packet| !packet.reply);
                        if let Some((packet, (_, mac))) = asked.zip(foreign)
                            && foreign.is_some_and(|(address, _)| address == packet.target && packet.sender != address)
                        {
                            speaker.frame(self.now, interface, Kind::Arp, &packet.answer(mac, mac));
                        }
                    }
                    Output::Groups(_) | Output::Happening(_) | Output::Problems(_) => {}
                    Output::Ownership(owned) => self.history.push((node.clone(), owned.len())),
                }
            }
        }
        let any = !sent.is_empty();
        for (from, to, message) in sent {
            let lost = self.cut.contains(&from) != self.cut.contains(&*to)
                || self.deaf.contains(&(from.clone(), to.to_string()))
                || self.losing.as_ref().is_some_and(|losing| losing(&to, &message));
            if !lost {
                self.say(&from, &to, message);
            }
        }
        any
    }

    /// A message of one node comes to another, now.
    pub(super) fn say(&mut self, from: &str, to: &str, message: Message) {
        self.sequence += 1;
        let Some(speaker) = self.running.get_mut(to) else {
            return;
        };
        let source = self.facts.nodes[from].address.unwrap();
        let datagram = Datagram {
            from: from.into(),
            to: to.into(),
            boot: self.boots[from],
            sequence: self.sequence,
            message,
        };
        speaker.datagram(self.now, source, datagram);
    }

    /// The nodes that answer for an address.
    pub(super) fn owners(&self, address: &str) -> Vec<String> {
        // With its own MAC: whoever stands in for another is no owner.
        let answers = |speaker: &Speaker| {
            let mut answers = (1..9).filter_map(|interface| speaker.answers_for(interface, address.parse().unwrap()));
            answers.any(|(port, mac)| port.mac == mac)
        };
        self.running
            .iter()
            .filter(|(_, speaker)| answers(speaker))
            .map(|(node, _)| node.clone())
            .collect()
    }

    pub(super) fn owner(&self, address: &str) -> String {
        let owners = self.owners(address);
        assert_eq!(owners.len(), 1, "{owners:?}");
        owners[0].clone()
    }
}
