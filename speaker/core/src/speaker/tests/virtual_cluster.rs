//! Several speakers on a virtual LAN, with a virtual clock.
//!
//! Messages arrive at once and in order, so a test can say exactly which ones are lost. The
//! simulator has a world of its own, with delay, reordering and random loss.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::{
    context::{Sinks, Turn},
    node::interface::InterfacePort,
    node_problem::NodeProblem,
    testing::{snapshot, start},
    wire::arp::ArpPacket,
};

/// Whether a message is lost on its way to a node.
type Loss = dyn Fn(&NodeName, &Message) -> bool;

/// A message: sender, receiver, content.
type SentMessage = (NodeName, NodeName, Message);

/// A frame that other nodes receive, with its sender.
type SentFrame = (NodeName, Vec<u8>);

/// The speakers of a cluster, and what connects them.
pub(super) struct VirtualCluster {
    pub(super) now: Instant,
    /// What the API server reports.
    pub(super) snapshot: ClusterSnapshot,
    /// The speakers whose processes run.
    pub(super) speakers: BTreeMap<NodeName, Speaker>,
    /// The settings of speakers that start from now on.
    pub(super) settings: Settings,
    /// The boot id of the present or last run of each speaker.
    pub(super) boots: BTreeMap<NodeName, BootId>,
    sequence: u64,
    /// These nodes exchange messages with each other only.
    pub(super) partition: BTreeSet<NodeName>,
    /// Messages from the first node to the second are lost.
    pub(super) cut_links: BTreeSet<(NodeName, NodeName)>,
    /// Which other messages are lost.
    pub(super) loss: Option<Box<Loss>>,
    /// Whether the speakers receive the frames of each other.
    pub(super) shares_wire: bool,
    /// A host outside the cluster, which answers ARP requests for this address.
    pub(super) foreign_host: Option<(Ipv4Addr, MacAddr)>,
    /// The nodes whose kernels answer ARP requests for the address of a node, with or without a
    /// speaker.
    pub(super) kernels: BTreeSet<NodeName>,
    /// Every report of announced addresses: the node and the number of addresses.
    pub(super) reports: Vec<(NodeName, usize)>,
    /// Every event of every speaker.
    pub(super) events: Vec<Event>,
    /// The solicited-node groups of each node, by interface.
    pub(super) groups: BTreeMap<NodeName, BTreeSet<(InterfaceIndex, Ipv6Addr)>>,
    /// The problems of each node.
    pub(super) problems: BTreeMap<NodeName, BTreeSet<NodeProblem>>,
    /// The number of frames that all speakers have sent unasked.
    pub(super) frames: usize,
}

impl VirtualCluster {
    /// A cluster in which the speakers of all nodes have just started.
    pub(super) fn new(nodes: &[&str], addresses: &[&str]) -> Self {
        let mut world = Self {
            now: start(),
            snapshot: snapshot(nodes, addresses),
            speakers: BTreeMap::new(),
            settings: Settings::default(),
            boots: BTreeMap::new(),
            sequence: 0,
            partition: BTreeSet::new(),
            cut_links: BTreeSet::new(),
            loss: None,
            shares_wire: false,
            foreign_host: None,
            kernels: BTreeSet::new(),
            reports: Vec::new(),
            events: Vec::new(),
            groups: BTreeMap::new(),
            problems: BTreeMap::new(),
            frames: 0,
        };
        world.restart_all();
        world
    }

    /// Starts the speaker of a node, or restarts it.
    pub(super) fn start(&mut self, node: &NodeName) {
        let mut speaker = Speaker::new(self.now, node.clone(), self.settings);
        let addresses = [&*format!("{}/24", self.lan_address(node)), "fe80::1/64"];
        let interface = ethernet(self.interface_index(node).0, "eth0", &addresses);
        speaker.handle_interfaces(self.now, vec![interface]);
        speaker.handle_snapshot(self.now, Arc::new(self.snapshot.clone()));
        self.speakers.insert(node.clone(), speaker);
        self.groups.remove(node);
        let boot = self.boots.get(node).map_or(BootId(1), |boot| boot.next());
        self.boots.insert(node.clone(), boot);
    }

    /// Restarts all speakers, with the present settings.
    pub(super) fn restart_all(&mut self) {
        let nodes: Vec<NodeName> = self.snapshot.nodes.keys().cloned().collect();
        nodes.iter().for_each(|node| self.start(node));
    }

    /// Ends the speaker of a node without notice.
    pub(super) fn kill(&mut self, node: &NodeName) {
        self.speakers.remove(node).unwrap();
    }

    pub(super) fn speaker(&mut self, node: &NodeName) -> &mut Speaker {
        self.speakers.get_mut(node).unwrap()
    }

    /// The index of the only interface of a node.
    pub(super) fn interface_index(&self, node: &NodeName) -> InterfaceIndex {
        let position = self.snapshot.nodes.keys().position(|name| name == node).unwrap();
        InterfaceIndex(u32::try_from(position).unwrap() + 1)
    }

    /// The address of a node on its only interface.
    pub(super) fn lan_address(&self, node: &NodeName) -> Ipv4Addr {
        let index = u8::try_from(self.interface_index(node).0).unwrap();
        Ipv4Addr::new(192, 0, 2, 200 + index)
    }

    /// The MAC of the only interface of a node.
    pub(super) fn mac(&self, node: &NodeName) -> MacAddr {
        ethernet(self.interface_index(node).0, "eth0", &[]).mac.unwrap()
    }

    /// Hands the present snapshot to all speakers.
    pub(super) fn publish_snapshot(&mut self) {
        let snapshot = Arc::new(self.snapshot.clone());
        for speaker in self.speakers.values_mut() {
            speaker.handle_snapshot(self.now, snapshot.clone());
        }
    }

    /// Hands a snapshot to one speaker, which so knows something else than the others.
    pub(super) fn publish_to(&mut self, node: &NodeName, snapshot: ClusterSnapshot) {
        let now = self.now;
        self.speaker(node).handle_snapshot(now, Arc::new(snapshot));
    }

    /// Lets time pass, in steps of [`STEP`].
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            self.handle_timeouts();
            while self.deliver() {
                self.handle_timeouts();
            }
        }
    }

    /// Calls every speaker whose timeout is due.
    pub(super) fn handle_timeouts(&mut self) {
        for speaker in self.speakers.values_mut() {
            if speaker.next_timeout().is_some_and(|due| due <= self.now) {
                speaker.handle_timeout(self.now);
            }
        }
    }

    /// Takes all outputs and delivers the messages among them. Returns whether there were any.
    fn deliver(&mut self) -> bool {
        let (messages, frames) = self.take_outputs();
        let any = !messages.is_empty() || !frames.is_empty();
        for (from, frame) in frames {
            self.broadcast_frame(&from, &frame);
        }
        for (from, to, message) in messages {
            if !self.is_lost(&from, &to, &message) {
                self.send(&from, &to, message);
            }
        }
        any
    }

    /// All other nodes receive a frame of a node, and the node receives their replies.
    fn broadcast_frame(&mut self, from: &NodeName, frame: &[u8]) {
        let mut replies = Vec::new();
        let others: Vec<NodeName> = self.speakers.keys().filter(|node| *node != from).cloned().collect();
        for node in others {
            replies.extend(self.receive_frame(&node, frame));
        }
        for reply in replies {
            self.receive_frame(from, &reply);
        }
    }

    fn receive_frame(&mut self, node: &NodeName, frame: &[u8]) -> Option<Vec<u8>> {
        let (now, interface) = (self.now, self.interface_index(node));
        let kind = if ArpPacket::parse(frame).is_some() {
            FrameKind::Arp
        } else {
            FrameKind::Ndp
        };
        self.speakers.get_mut(node)?.handle_frame(now, interface, kind, frame)
    }

    /// Takes the outputs of all speakers. Returns the messages and the frames among them.
    fn take_outputs(&mut self) -> (Vec<SentMessage>, Vec<SentFrame>) {
        let (mut messages, mut frames) = (Vec::new(), Vec::new());
        let kernels = self.kernels.iter().map(|node| (self.lan_address(node), self.mac(node)));
        let hosts: Vec<_> = kernels.chain(self.foreign_host).collect();
        for (node, speaker) in &mut self.speakers {
            while let Some(output) = speaker.poll_output() {
                match output {
                    Output::Send { to, message, .. } => messages.push((node.clone(), to, message)),
                    Output::SendHeartbeat { to, .. } => messages.push((node.clone(), to, Message::Heartbeat)),
                    Output::BootId(boot) => {
                        self.boots.insert(node.clone(), boot.next());
                    }
                    Output::Frame { interface, frame } => {
                        self.frames += 1;
                        for reply in hosts.iter().filter_map(|host| reply_of(*host, &frame)) {
                            speaker.handle_frame(self.now, interface, FrameKind::Arp, &reply);
                        }
                        if self.shares_wire {
                            frames.push((node.clone(), frame));
                        }
                    }
                    Output::Groups(groups) => {
                        self.groups.insert(node.clone(), groups);
                    }
                    Output::OwnedAddresses(announced) => self.reports.push((node.clone(), announced.len())),
                    Output::Event(event) => self.events.push(event),
                    Output::Problems(problems) => {
                        self.problems.insert(node.clone(), problems);
                    }
                }
            }
        }
        (messages, frames)
    }

    fn is_lost(&self, from: &NodeName, to: &NodeName, message: &Message) -> bool {
        self.partition.contains(from) != self.partition.contains(to)
            || self.cut_links.contains(&(from.clone(), to.clone()))
            || self.loss.as_ref().is_some_and(|is_lost| is_lost(to, message))
    }

    /// Sends a message from one node to another. It arrives now.
    pub(super) fn send(&mut self, from: &NodeName, to: &NodeName, message: Message) {
        self.sequence += 1;
        let Some(speaker) = self.speakers.get_mut(to) else {
            return;
        };
        // A deleted node has no InternalIP any more, and sends all the same.
        let source = self
            .snapshot
            .node_address(from)
            .unwrap_or_else(|| [10, 0, 0, 99].into());
        let datagram = Datagram {
            from: from.clone(),
            to: to.clone(),
            boot: self.boots[from],
            sequence: self.sequence,
            message,
        };
        speaker.handle_datagram(self.now, source, datagram);
    }

    /// How a node answers for an address: the port and the MAC of each interface that does.
    pub(super) fn answers(&self, node: &NodeName, address: &str) -> Vec<(InterfacePort, MacAddr)> {
        let speaker = &self.speakers[node];
        let mut sinks = Sinks::default();
        let turn = Turn::new(self.now, &speaker.context, &mut sinks);
        let answer = |index| speaker.lan.answer_for(&turn, InterfaceIndex(index), ip(address));
        (1..9).filter_map(answer).map(|(port, mac)| (*port, mac)).collect()
    }

    /// The nodes that answer for an address with their own MAC: a deputy is no owner.
    pub(super) fn owners(&self, address: &str) -> Vec<NodeName> {
        let owns = |node: &&NodeName| self.answers(node, address).iter().any(|(port, mac)| port.mac == *mac);
        self.speakers.keys().filter(owns).cloned().collect()
    }

    /// The only owner of an address. Panics if there is none, or more than one.
    pub(super) fn owner(&self, address: &str) -> NodeName {
        let owners = self.owners(address);
        assert_eq!(owners.len(), 1, "{owners:?}");
        owners[0].clone()
    }

    /// The MACs with which anybody answers for an address.
    pub(super) fn macs(&self, address: &str) -> BTreeSet<MacAddr> {
        let answers = self.speakers.keys().flat_map(|node| self.answers(node, address));
        answers.map(|(_, mac)| mac).collect()
    }

    /// A node whose speaker runs and that is none of `nodes`.
    pub(super) fn other_than(&self, nodes: &[&NodeName]) -> NodeName {
        let mut others = self.speakers.keys().filter(|node| !nodes.contains(node));
        others.next().unwrap().clone()
    }
}

/// The reply of a host to an ARP request for its address.
fn reply_of((address, mac): (Ipv4Addr, MacAddr), frame: &[u8]) -> Option<Vec<u8>> {
    let request = ArpPacket::parse(frame).filter(|packet| !packet.reply)?;
    // A gratuitous ARP is no question.
    let is_question = request.target == address && request.sender != address;
    is_question.then(|| request.reply(mac, mac).into())
}
