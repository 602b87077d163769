//! Requests to peers on the LAN: ARP requests and neighbor solicitations, and what their answers
//! say.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use super::{
    Liveness,
    check_targets::{CheckTargets, own_address},
    reachability::{ReachabilityCheck, SegmentCheck, SegmentTargets},
    view::Surroundings,
};
use crate::{
    context::Turn,
    lan::AddressUse,
    node::interface::InterfacePort,
    stats::increment,
    timers::Timer,
    types::{InterfaceIndex, NodeName},
    wire::{arp, message::Network, ndp},
};

/// The time between two requests for the own addresses of watched peers, to learn whether they
/// answer at all.
const BASELINE_INTERVAL: Duration = Duration::from_secs(10);

/// A node that uses an address on the LAN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddressUser<'a> {
    pub(crate) node: &'a NodeName,
    /// Whether the node owns the address, by its claims.
    pub(crate) owns: bool,
}

impl Liveness {
    /// Runs exactly these reachability checks.
    pub(crate) fn set_checks(&mut self, turn: &mut Turn<'_>, around: Surroundings<'_>, targets: &CheckTargets) {
        for (node, conclusion) in self.peers.conclusions_mut() {
            if !targets.contains_key(node) {
                conclusion.checks.clear();
            }
        }
        for (node, by_interface) in targets {
            let wanted = self.segment_targets(turn, around, node, by_interface);
            let checks = &mut self.peers.conclusion_mut(node).checks;
            if checks.is_empty() {
                increment(&mut turn.stats.reachability_checks);
            }
            checks.retain(|interface, _| wanted.contains_key(interface));
            for (interface, targets) in wanted {
                let new = || SegmentCheck {
                    check: ReachabilityCheck::new(turn.now),
                    targets: SegmentTargets::default(),
                };
                checks.entry(interface).or_insert_with(new).targets = targets;
            }
        }
        self.arm_checks(turn);
    }

    /// Sends the requests of reachability checks that are due.
    pub(crate) fn send_check_requests(&mut self, turn: &mut Turn<'_>, around: Surroundings<'_>) {
        if turn.timers.get(Timer::ReachabilityCheck).is_none() {
            return;
        }
        let due = self.due_checks(turn);
        let mut asked = BTreeSet::new();
        for (node, interface) in due {
            self.send_check_round(turn, around, &node, interface);
            asked.extend(interface);
        }
        let isolated = self.view(turn.now, turn.context, around).isolated_interfaces();
        for (_, conclusion) in self.peers.conclusions_mut() {
            for (interface, segment) in &mut conclusion.checks {
                if interface.map_or(!isolated.is_empty(), |on| isolated.contains(&on)) {
                    segment.check.discount_silence();
                }
            }
        }
        // The others are asked below.
        asked.retain(|interface| isolated.contains(interface) && !self.isolation.contains_key(interface));
        send_requests_to_hosts(turn, around, &asked);
        self.follow_isolation(turn, around);
        self.arm_checks(turn);
    }

    fn due_checks(&self, turn: &Turn<'_>) -> Vec<(NodeName, Option<InterfaceIndex>)> {
        let checks = self.peers.conclusions().flat_map(|(node, conclusion)| {
            let checks = conclusion.checks.iter();
            checks.map(move |(interface, segment)| (node, *interface, segment.check.next_timeout()))
        });
        let due = checks.filter(|(_, _, next)| *next <= turn.now);
        due.map(|(node, interface, _)| (node.clone(), interface)).collect()
    }

    /// Asks on one segment for the own addresses of a node, and for one of the addresses that it
    /// owns.
    fn send_check_round(
        &mut self,
        turn: &mut Turn<'_>,
        around: Surroundings<'_>,
        node: &NodeName,
        interface: Option<InterfaceIndex>,
    ) {
        let loss = self.peers.loss(node);
        self.requests = self.requests.wrapping_add(1);
        let Some(segment) = self.peers.conclusion_mut(node).checks.get_mut(&interface) else {
            return;
        };
        if let Some(port) = interface.and_then(|interface| around.node.port(interface)) {
            let SegmentTargets { own, owned, .. } = &segment.targets;
            // Another address each time: one that is in dispute proves nothing.
            let one = owned.get(self.requests.checked_rem(owned.len()).unwrap_or_default());
            for address in own.iter().chain(one) {
                ask(turn, around, port, *address);
            }
        }
        let before = segment.check.result(loss);
        segment.check.note_asked(turn.now);
        if segment.check.result(loss) != before {
            turn.request_review();
        }
    }

    /// Arms the timer for the next request of a reachability check.
    pub(crate) fn arm_checks(&self, turn: &mut Turn<'_>) {
        let checks = self
            .peers
            .conclusions()
            .flat_map(|(_, conclusion)| conclusion.checks.values());
        let next = checks.map(|segment| segment.check.next_timeout()).min();
        let next = next.into_iter().chain(self.next_isolation_request()).min();
        turn.timers.set(Timer::ReachabilityCheck, next);
    }

    /// Asks every watched peer for its own addresses, so that a later silence means something.
    pub(crate) fn send_baseline_requests(&mut self, turn: &mut Turn<'_>, around: Surroundings<'_>) {
        // Reports of others end without a message.
        self.find_unwatched_on_paths(turn, around);
        for node in self.peers.watched() {
            self.ask_peer(turn, around, &node);
        }
    }

    /// Asks foreign hosts whether they are still there.
    pub(crate) fn ask_hosts(turn: &mut Turn<'_>, around: Surroundings<'_>, hosts: &[(InterfaceIndex, IpAddr)]) {
        for (interface, address) in hosts {
            if let Some(port) = around.node.port(*interface) {
                ask(turn, around, port, *address);
            }
        }
    }

    /// Asks a peer for its own addresses wherever it may answer: the answers prove which interfaces
    /// share a segment.
    pub(crate) fn ask_peer(&self, turn: &mut Turn<'_>, around: Surroundings<'_>, node: &NodeName) {
        let askable = self.view(turn.now, turn.context, around).askable(node).into_iter();
        let questions = askable.filter_map(|(port, network)| Some((port.index, own_address(network)?)));
        let questions: BTreeSet<(InterfaceIndex, IpAddr)> = questions.collect();
        for (index, address) in questions {
            if let Some(port) = around.node.port(index) {
                ask(turn, around, port, address);
            }
        }
    }

    /// Arms the timer for the next baseline requests.
    pub(crate) fn arm_baseline(turn: &mut Turn<'_>) {
        turn.timers
            .set(Timer::ReachabilityBaseline, Some(turn.now + BASELINE_INTERVAL));
    }

    /// Counts the use of an address on a segment as an answer to a request there.
    pub(crate) fn count_answer(&mut self, turn: &mut Turn<'_>, seen: &AddressUse, user: AddressUser<'_>) {
        let AddressUser { node, owns } = user;
        // A kernel answers for its addresses on all ports. Only the answer of the port that has the
        // address shows that this port lives.
        let mut networks = self.peers.networks_of(node).iter();
        let has_it = |network: &Network| network.addresses.iter().any(|address| address.addr() == seen.address);
        // mutation: answer-of-another-port-counts
        let is_own = networks.any(|network| network.mac == seen.mac && has_it(network));
        if !is_own && !owns {
            return;
        }
        let conclusion = self.peers.conclusion_mut(node);
        if is_own {
            conclusion.answered.insert(seen.interface);
        }
        // What is heard on one segment says nothing about another.
        let heard_on = Some(seen.interface);
        // mutation: answer-counts-on-every-segment
        for (_, segment) in conclusion.checks.iter_mut().filter(|(on, _)| **on == heard_on) {
            let before = segment.check.result(0.0);
            // mutation: answer-of-an-unused-port-counts
            if owns {
                segment.check.note_speaker_answered();
            } else if segment.targets.macs.contains(&seen.mac) {
                segment.check.note_node_answered();
            }
            if segment.check.result(0.0) != before {
                turn.request_review();
            }
        }
    }
}

/// Asks the default gateways and all known hosts: this node may be isolated.
pub(super) fn send_requests_to_hosts(
    turn: &mut Turn<'_>,
    around: Surroundings<'_>,
    interfaces: &BTreeSet<InterfaceIndex>,
) {
    for port in around.node.ports().filter(|port| interfaces.contains(&port.index)) {
        let gateways: Vec<IpAddr> = around.node.gateways_on(port.index).collect();
        let hosts = around.neighbours.hosts_on(port.index);
        let others = hosts.filter(|host| !gateways.contains(host));
        for address in gateways.iter().copied().chain(others) {
            ask(turn, around, port, address);
        }
    }
}

fn ask(turn: &mut Turn<'_>, around: Surroundings<'_>, port: InterfacePort, address: IpAddr) {
    let frame = match address {
        IpAddr::V4(v4) => arp::request(port.mac, around.node.source_address(port.index, v4), v4).into(),
        IpAddr::V6(v6) => ndp::solicitation(port.mac, port.link_local, v6),
    };
    turn.outbox.push_frame(port.index, frame);
}
