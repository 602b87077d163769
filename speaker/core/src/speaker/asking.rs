//! Asking the wire after nodes that are silent, and who is heard on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use super::{Output, Port, Speaker, frames::Said, sync::is_link_local};
use crate::{
    core::{
        check::{Check, Found},
        interface::Interface,
        peers::Phase,
    },
    wire::{
        arp,
        message::{Network, NodeName},
        ndp,
    },
};

/// How often those that this node watches are asked for their own addresses, to know whether they answer at all.
const BASELINE: Duration = Duration::from_secs(10);

/// How many other hosts are remembered.
const REMEMBERED: usize = 8;

/// For how long a node that hears nothing at all, and has never heard a host that it could ask, takes itself for the one that is cut off.
const DARKNESS: Duration = Duration::from_secs(1);

/// Hosts of the LAN that are none of the cluster's: who hears none of them either is itself cut off.
#[derive(Clone, Debug, Default)]
pub(super) struct Neighbours {
    hosts: Vec<(u32, IpAddr)>,
    /// When anything was last heard on each interface.
    heard: BTreeMap<u32, Instant>,
    /// When a broadcast was last heard on each interface where some are sent, or since when they are.
    broadcasts: BTreeMap<u32, Instant>,
}

impl Neighbours {
    pub(super) fn heard(&mut self, now: Instant, interface: u32) {
        self.heard.insert(interface, now);
    }

    pub(super) fn heard_broadcast(&mut self, now: Instant, interface: u32) {
        if let Some(last) = self.broadcasts.get_mut(&interface) {
            *last = now;
        }
    }

    /// On these interfaces others send broadcasts.
    pub(super) fn expect_broadcasts(&mut self, now: Instant, interfaces: &BTreeSet<u32>) {
        self.broadcasts.retain(|interface, _| interfaces.contains(interface));
        for interface in interfaces {
            self.broadcasts.entry(*interface).or_insert(now);
        }
    }

    /// The interfaces on which no broadcast was heard for so long, although some are sent.
    pub(super) fn without_broadcast(&self, now: Instant, time: Duration) -> BTreeSet<u32> {
        let silent = self.broadcasts.iter().filter(|(_, last)| now >= **last + time);
        silent.map(|(interface, _)| *interface).collect()
    }

    fn learn(&mut self, interface: u32, address: IpAddr) {
        let host = (interface, address);
        if !self.hosts.contains(&host) {
            self.hosts.truncate(REMEMBERED - 1);
            self.hosts.insert(0, host);
        }
    }
}

impl Speaker {
    /// Takes in that a frame has come from somebody.
    pub(super) fn hear_on_wire(&mut self, now: Instant, said: &Said) {
        self.neighbours.heard(now, said.interface);
        let Some(node) = self.macs.get(&<[u8; 6]>::from(said.source)) else {
            if !self.owned.contains_key(&said.address) && !self.stood_in.contains_key(&said.address) {
                self.neighbours.learn(said.interface, said.address);
            }
            return;
        };
        // Whoever stands in for another speaks with that one's MAC in the packet, not in the frame.
        if said.source != said.mac {
            return;
        }
        // What is heard on the network between the nodes tells nothing of the other one.
        let heard_there = self
            .facing_where_it_announces(node)
            .any(|(port, _)| port.index == said.interface);
        if !heard_there {
            return;
        }
        let its_own = self
            .peers
            .networks_of(node)
            .iter()
            .any(|network| network.addresses.iter().any(|address| address.addr() == said.address));
        let owned = self
            .claims
            .holder(said.address)
            .is_some_and(|holder| holder.node == *node);
        if its_own {
            self.on_wire.insert(node.clone());
        }
        if let Some(check) = self.checks.get_mut(node) {
            let before = check.found(0.0);
            if owned {
                check.speaker_answered();
            } else if its_own {
                check.node_answered();
            }
            if check.found(0.0) != before {
                self.soon(now);
            }
        }
    }

    /// When is to be asked next.
    pub(super) fn next_ask(&self) -> Option<Instant> {
        let checks = self.checks.values().map(Check::next);
        checks.chain([self.next_baseline]).min()
    }

    /// Asks whatever is due.
    pub(super) fn ask(&mut self, now: Instant) {
        let due: Vec<NodeName> = self
            .checks
            .iter()
            .filter(|(_, check)| check.next() <= now)
            .map(|(node, _)| node.clone())
            .collect();
        let asked = !due.is_empty();
        for node in due {
            self.ask_after(&node, true);
            let loss = self.peers.loss(&node);
            if let Some(check) = self.checks.get_mut(&node) {
                let before = check.found(loss);
                check.asked(now);
                if check.found(loss) != before {
                    self.soon(now);
                }
            }
        }
        if !self.checks.is_empty() && self.is_dark(now) {
            self.checks.values_mut().for_each(Check::in_the_dark);
            if asked {
                self.ask_neighbours();
            }
        }
        if self.next_baseline <= now {
            self.next_baseline = now + BASELINE;
            self.look_at_node(now);
            let watched: Vec<NodeName> = self
                .peers
                .nodes()
                .filter(|node| self.peers.watches(node))
                .cloned()
                .collect();
            for node in watched {
                self.ask_after(&node, false);
            }
        }
    }

    /// Begins to ask after a node.
    pub(super) fn check(&mut self, now: Instant, node: &NodeName) {
        if !self.checks.contains_key(node) {
            self.counts.checks = self.counts.checks.saturating_add(1);
            self.checks.insert(node.clone(), Check::new(now));
        }
    }

    /// What the wire says of a node, if silence on it means anything.
    pub(super) fn found(&self, now: Instant, node: &NodeName) -> Found {
        let Some(check) = self.checks.get(node) else {
            return Found::Undecided;
        };
        match check.found(self.peers.loss(node)) {
            Found::Gone if self.is_dark(now) => Found::Undecided,
            // Its answers were never heard: others are to say the same, if there are any.
            // Where all who watch it are silent, too, nobody else can say so.
            Found::Gone if !self.on_wire.contains(node) && !self.peers.is_unwatched(node) => {
                let silent = |other: &NodeName| *other != self.me && !self.peers.lives(other, now);
                let watchers = self.ring.watchers(node, silent).into_iter();
                let wanted = watchers.filter(|other| !silent(other)).count().min(2);
                if self.peers.suspected_by(node, now) >= wanted {
                    Found::Gone
                } else {
                    Found::Undecided
                }
            }
            found => found,
        }
    }

    /// Whether a node that is asked after does not answer.
    pub(super) fn is_unheard_on_wire(&self, node: &NodeName) -> bool {
        let loss = self.peers.loss(node);
        self.checks
            .get(node)
            .is_some_and(|check| check.found(loss) == Found::Gone)
    }

    /// Whether nobody at all is heard where addresses are announced: then this node is the one that is cut off.
    fn is_dark(&self, now: Instant) -> bool {
        let mut since: Option<Instant> = None;
        for node in self.peers.nodes() {
            if self.peers.networks_of(node).is_empty() || self.peers.leaving(node).is_some() {
                continue;
            }
            match self.peers.phase(node, now) {
                Some(Phase::Suspected(from)) => since = Some(since.map_or(from, |since| since.max(from))),
                // Of some ways more patience was learnt than of others: one that is late may be as silent as the rest.
                Some(Phase::Doubted) => {}
                _ => return false,
            }
        }
        let Some(since) = since else { return false };
        // Whoever is silent has not been heard for a while when it is suspected.
        let mut interfaces = BTreeSet::new();
        for node in self.peers.nodes() {
            interfaces.extend(self.facing_where_it_announces(node).map(|(port, _)| port.index));
        }
        let mut heard = self.neighbours.heard.iter();
        let heard = heard.any(|(interface, heard)| interfaces.contains(interface) && *heard >= since);
        let in_vain = self.neighbours.hosts.is_empty() && now >= since + DARKNESS;
        !heard && !in_vain
    }

    fn ask_neighbours(&mut self) {
        for (interface, address) in self.neighbours.hosts.clone().into_iter().take(3) {
            let port = self.ports().find(|port| port.index == interface);
            if let Some(port) = port {
                self.ask_for(port, address);
            }
        }
    }

    /// Asks for one of a node's own addresses, and for one of those that it owns.
    fn ask_after(&mut self, node: &NodeName, also_owned: bool) {
        // Of what it holds back it is as silent as one that is gone.
        let answered = self.claims.of(node).into_iter().filter(|claim| !claim.held_back);
        let owned: Vec<IpAddr> = answered.map(|claim| claim.address).collect();
        let facing: Vec<(Port, Option<IpAddr>)> = self
            .facing_where_it_announces(node)
            .map(|(port, network)| (port, own_address(network)))
            .collect();
        // Another one each time: of one that is in dispute nothing follows.
        self.asked = self.asked.wrapping_add(1);
        let turn = self.asked;
        for (port, own) in facing {
            if let Some(own) = own {
                self.ask_for(port, own);
            }
            let one = owned.get(turn.checked_rem(owned.len()).unwrap_or_default());
            if let Some(address) = one.filter(|_| also_owned) {
                self.ask_for(port, *address);
            }
        }
    }

    fn ask_for(&mut self, port: Port, address: IpAddr) {
        let frame = match address {
            IpAddr::V4(v4) => arp::request(port.mac, self.speaks_from(port, v4), v4).into(),
            IpAddr::V6(v6) => ndp::solicit(port.mac, port.link_local, v6),
        };
        self.outputs.push_back(Output::Frame {
            interface: port.index,
            frame,
        });
    }

    /// The address of ours that a host has no reason not to answer: one of the same prefix. Without one it is a probe, which is answered too.
    fn speaks_from(&self, port: Port, to: Ipv4Addr) -> Ipv4Addr {
        let interfaces = self.interfaces.iter().flatten();
        let addresses = interfaces
            .filter(|interface| interface.index == port.index)
            .flat_map(|interface| &interface.addresses);
        let mut same = addresses.filter_map(|address| match address {
            ipnet::IpNet::V4(v4) if v4.contains(&to) => Some(v4.addr()),
            _ => None,
        });
        same.next().unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    /// The interfaces on which addresses can be announced.
    pub(super) fn ports(&self) -> impl Iterator<Item = Port> {
        let interfaces = self.interfaces.iter().flatten();
        interfaces.filter(|interface| interface.can_announce()).filter_map(port)
    }

    /// The interfaces of ours that are on the same networks as those of a node, each with that network. Those that have a prefix in common
    /// are, and where no prefix tells, those of the same name.
    pub(super) fn facing<'a>(&'a self, node: &NodeName) -> impl Iterator<Item = (Port, &'a Network)> {
        let theirs = self.peers.networks_of(node);
        let ours: Vec<&Interface> = self
            .interfaces
            .iter()
            .flatten()
            .filter(|interface| interface.can_announce())
            .collect();
        let mut matches: Vec<(Port, &Network)> = Vec::new();
        for interface in ours {
            let shares = |network: &&Network| {
                network.addresses.iter().any(|address| {
                    !is_link_local(address.addr())
                        && interface.addresses.iter().any(|ours| ours.contains(&address.addr()))
                })
            };
            let found = theirs
                .iter()
                .find(shares)
                .or_else(|| theirs.iter().find(|network| network.interface == interface.name));
            matches.extend(port(interface).zip(found));
        }
        matches.into_iter()
    }

    /// The same, without the network between the nodes where addresses are announced on another one, too.
    pub(super) fn facing_where_it_announces<'a>(
        &'a self,
        node: &'a NodeName,
    ) -> impl Iterator<Item = (Port, &'a Network)> {
        // Whether this node watches it or not: in a large cluster those who ask do not.
        let apart = self
            .facing(node)
            .any(|(_, network)| !self.is_node_network(node, network));
        self.facing(node)
            .filter(move |(_, network)| !(apart && self.is_node_network(node, network)))
    }

    /// Learns whose MAC is whose.
    pub(super) fn learn_macs(&mut self, now: Instant) {
        let nodes: BTreeSet<NodeName> = self.peers.nodes().cloned().collect();
        self.macs.clear();
        for node in nodes {
            for network in self.peers.networks_of(&node) {
                self.macs.insert(network.mac, node.clone());
            }
        }
        // What was taken for a foreign host may turn out to be a node of which we had not heard yet.
        let mistaken: Vec<IpAddr> = self
            .probes
            .taken()
            .filter(|(_, mac)| self.is_of_cluster(*mac))
            .map(|(address, _)| address)
            .collect();
        for address in mistaken {
            self.probes.begin(now, address);
        }
    }
}

/// The address by which a node is asked whether it is there.
fn own_address(network: &Network) -> Option<IpAddr> {
    let addresses = || network.addresses.iter().map(ipnet::IpNet::addr);
    addresses()
        .find(IpAddr::is_ipv4)
        .or_else(|| addresses().find(|address| !is_link_local(*address)))
        .or_else(|| addresses().next())
}

pub(super) fn port(interface: &Interface) -> Option<Port> {
    Some(Port {
        index: interface.index,
        mac: interface.mac?,
        link_local: interface.link_local(),
    })
}
