//! Requests to peers on the LAN: ARP requests and neighbor solicitations, and what their answers
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

/// The time between two requests for the own addresses of watched peers, to learn whether they
/// answer at all.
const BASELINE_INTERVAL: Duration = Duration::from_secs(10);

/// The foreign hosts that an isolated node sends requests to.
const REQUESTED_HOSTS: usize = 3;

/// A node that uses an address on the LAN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddressUser<'a> {
    pub(crate) node: &'a NodeName,
    /// Whether the node owns the address, by its claims.
    pub(crate) owns: bool,
}

impl Liveness {
    /// Sends the requests of reachability checks that are due. `owned_by` are the addresses that a
    /// node should answer for.
    pub(crate) fn send_check_requests(
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
            self.send_requests_to(turn, around, node, &owned_by(node));
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
                send_requests_to_hosts(turn, around);
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

    /// Arms the timer for the next request of a reachability check.
    pub(crate) fn arm_checks(&self, turn: &mut Turn<'_>) {
        let checks = self
            .peers
            .conclusions()
            .filter_map(|(_, conclusion)| conclusion.check.as_ref());
        let next = checks.map(super::ReachabilityCheck::next_timeout).min();
        turn.timers.set(Timer::ReachabilityCheck, next);
    }

    /// Asks every watched peer for its own address, so that a later silence means something.
    pub(crate) fn send_baseline_requests(&mut self, turn: &mut Turn<'_>, around: Surroundings<'_>) {
        for node in self.peers.watched() {
            self.send_requests_to(turn, around, &node, &[]);
        }
    }

    /// Arms the timer for the next baseline requests.
    pub(crate) fn arm_baseline(turn: &mut Turn<'_>) {
        turn.timers
            .set(Timer::ReachabilityBaseline, Some(turn.now + BASELINE_INTERVAL));
    }

    /// Asks for one of a node's own addresses, and for one of the addresses that it owns.
    fn send_requests_to(&mut self, turn: &mut Turn<'_>, around: Surroundings<'_>, node: &NodeName, owned: &[IpAddr]) {
        let facing = self.view(turn.now, turn.context, around).facing_on_lan(node);
        let facing: Vec<_> = facing
            .into_iter()
            .map(|(port, network)| (port, own_address(network)))
            .collect();
        // Another address each time: one that is in dispute proves nothing.
        self.requests = self.requests.wrapping_add(1);
        let one = owned.get(self.requests.checked_rem(owned.len()).unwrap_or_default());
        for (port, own) in facing {
            for address in own.iter().chain(one) {
                ask(turn, around, port, *address);
            }
        }
    }

    /// Counts the use of an address on the LAN as an answer to a request.
    pub(crate) fn count_answer(
        &mut self,
        turn: &mut Turn<'_>,
        around: Surroundings<'_>,
        seen: &AddressUse,
        user: AddressUser<'_>,
    ) {
        let AddressUser { node, owns } = user;
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
        conclusion.has_answered_requests |= is_own;
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

fn send_requests_to_hosts(turn: &mut Turn<'_>, around: Surroundings<'_>) {
    for (interface, address) in around.neighbours.hosts().take(REQUESTED_HOSTS) {
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

/// The address of a node that a request asks for.
fn own_address(network: &Network) -> Option<IpAddr> {
    let addresses = || network.addresses.iter().map(ipnet::IpNet::addr);
    addresses()
        .find(IpAddr::is_ipv4)
        .or_else(|| addresses().find(|address| !is_link_local(*address)))
        .or_else(|| addresses().next())
}
