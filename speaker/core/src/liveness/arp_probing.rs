//! Questions on the wire: ARP requests and neighbor solicitations to peers, and what their answers
//! say.

use std::{net::IpAddr, time::Duration};

use super::{
    Liveness,
    view::{Surroundings, is_link_local},
};
use crate::{
    context::Turn,
    lan::AddressUse,
    node::interface::InterfacePort,
    timers::Timer,
    types::NodeName,
    wire::{arp, message::Network, ndp},
};

/// How often watched peers are asked for their own addresses, to learn whether they answer at all.
const BASELINE_INTERVAL: Duration = Duration::from_secs(10);

/// How many foreign hosts an isolated node asks.
const HOSTS_ASKED: usize = 3;

impl Liveness {
    /// Sends the questions of reachability checks that are due. `owned_by` are the addresses that a
    /// node should answer for.
    pub(crate) fn send_check_questions(
        &mut self,
        turn: &mut Turn<'_>,
        around: Surroundings<'_>,
        owned_by: &dyn Fn(&NodeName) -> Vec<IpAddr>,
    ) {
        if turn.timers.get(Timer::ReachabilityCheck).is_none() {
            return;
        }
        let due = self.due_checks(turn);
        for node in &due {
            self.ask_peer(turn, around, node, &owned_by(node));
            let loss = self.peers.loss(node);
            if let Some(check) = &mut self.peers.conclusion_mut(node).check {
                let before = check.result(loss);
                check.note_asked(turn.now);
                if check.result(loss) != before {
                    turn.request_review();
                }
            }
        }
        if self.view(turn.now, turn.context, around).is_isolated() {
            let checks = self
                .peers
                .conclusions_mut()
                .filter_map(|(_, conclusion)| conclusion.check.as_mut());
            checks.for_each(super::ReachabilityCheck::discount_silence);
            if !due.is_empty() {
                ask_hosts(turn, around);
            }
        }
        self.arm_checks(turn);
    }

    fn due_checks(&self, turn: &Turn<'_>) -> Vec<NodeName> {
        let checks = self.peers.conclusions().filter(|(_, conclusion)| {
            let check = conclusion.check.as_ref();
            check.is_some_and(|check| check.next_timeout() <= turn.now)
        });
        checks.map(|(node, _)| node.clone()).collect()
    }

    /// Arms the timer for the next question of a reachability check.
    pub(crate) fn arm_checks(&self, turn: &mut Turn<'_>) {
        let checks = self
            .peers
            .conclusions()
            .filter_map(|(_, conclusion)| conclusion.check.as_ref());
        let next = checks.map(super::ReachabilityCheck::next_timeout).min();
        turn.timers.set(Timer::ReachabilityCheck, next);
    }

    /// Asks every watched peer for its own address, so that a later silence means something.
    pub(crate) fn send_baseline_questions(&mut self, turn: &mut Turn<'_>, around: Surroundings<'_>) {
        for node in self.peers.watched() {
            self.ask_peer(turn, around, &node, &[]);
        }
    }

    /// Arms the timer for the next baseline questions.
    pub(crate) fn arm_baseline(turn: &mut Turn<'_>) {
        turn.timers.set(Timer::WireBaseline, Some(turn.now + BASELINE_INTERVAL));
    }

    /// Asks for one of a node's own addresses, and for one of the addresses that it owns.
    fn ask_peer(&mut self, turn: &mut Turn<'_>, around: Surroundings<'_>, node: &NodeName, owned: &[IpAddr]) {
        let facing = self.view(turn.now, turn.context, around).facing_on_lan(node);
        let facing: Vec<_> = facing
            .into_iter()
            .map(|(port, network)| (port, own_address(network)))
            .collect();
        // Another address each time: one that is in dispute proves nothing.
        self.questions = self.questions.wrapping_add(1);
        let one = owned.get(self.questions.checked_rem(owned.len()).unwrap_or_default());
        for (port, own) in facing {
            for address in own.iter().chain(one) {
                ask(turn, around, port, *address);
            }
        }
    }

    /// Takes in that a node used an address on the wire. `owns`: the node owns the address by its
    /// claims.
    pub(crate) fn handle_address_use(
        &mut self,
        turn: &mut Turn<'_>,
        around: Surroundings<'_>,
        seen: &AddressUse,
        (node, owns): (&NodeName, bool),
    ) {
        let facing = self.view(turn.now, turn.context, around).facing_on_lan(node);
        // What is heard on the node network says nothing about the LAN.
        if !facing.iter().any(|(port, _)| port.index == seen.interface) {
            return;
        }
        let is_own = self
            .peers
            .networks_of(node)
            .iter()
            .any(|network| network.addresses.iter().any(|address| address.addr() == seen.address));
        if !is_own && !owns {
            return;
        }
        let conclusion = self.peers.conclusion_mut(node);
        conclusion.answers_on_wire |= is_own;
        if let Some(check) = &mut conclusion.check {
            let before = check.result(0.0);
            if owns {
                check.note_speaker_answered();
            } else {
                check.note_node_answered();
            }
            if check.result(0.0) != before {
                turn.request_review();
            }
        }
    }
}

fn ask_hosts(turn: &mut Turn<'_>, around: Surroundings<'_>) {
    for (interface, address) in around.neighbours.hosts().take(HOSTS_ASKED) {
        if let Some(port) = around.node.port(interface) {
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

/// The address by which a node is asked whether it is there.
fn own_address(network: &Network) -> Option<IpAddr> {
    let addresses = || network.addresses.iter().map(ipnet::IpNet::addr);
    addresses()
        .find(IpAddr::is_ipv4)
        .or_else(|| addresses().find(|address| !is_link_local(*address)))
        .or_else(|| addresses().next())
}
