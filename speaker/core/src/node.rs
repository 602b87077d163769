//! This node: its interfaces, its kernel settings, and the problems found with them.
//!
//! ```text
//!   interfaces ──► ports (where addresses can be announced) ──► lan, liveness, ownership
//!   kernel settings ─┐
//!   deaf interfaces ─┴─► find_problems ──► Output::Problems, when they change
//! ```

pub(crate) mod interface;
pub(crate) mod interface_filter;
pub(crate) mod preflight;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use ipnet::IpNet;

pub use interface::Interface;
use interface::InterfacePort;
use preflight::{KernelSettings, find_problems};

use crate::{
    context::Turn,
    node_problem::NodeProblem,
    output::Output,
    types::{InterfaceIndex, MacAddr},
    wire::message::Network,
};

/// How long no peer must be heard before that is a problem. In a cluster of two nodes, a restart of
/// the other speaker is none.
const SILENT_AFTER: Duration = Duration::from_secs(20);

/// What the speaker knows of its own node.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeState {
    /// Unknown until the kernel was read.
    interfaces: Option<Vec<Interface>>,
    kernel: KernelSettings,
    /// The interfaces on which this node is isolated: nothing is announced there.
    isolated: BTreeSet<String>,
    /// The problems as last reported.
    problems: Option<BTreeSet<NodeProblem>>,
    /// Since when no peer has been heard.
    silent_since: Option<Instant>,
}

impl NodeState {
    pub(crate) const fn is_known(&self) -> bool {
        self.interfaces.is_some()
    }

    pub(crate) fn interfaces(&self) -> &[Interface] {
        self.interfaces.as_deref().unwrap_or_default()
    }

    /// Replaces the interfaces. Returns whether they differ from before.
    pub(crate) fn set_interfaces(&mut self, interfaces: Vec<Interface>) -> bool {
        let changed = self.interfaces.as_ref() != Some(&interfaces);
        if changed {
            self.interfaces = Some(interfaces);
        }
        changed
    }

    pub(crate) fn set_kernel_settings(&mut self, kernel: KernelSettings) {
        self.kernel = kernel;
    }

    /// What other speakers are told of the interfaces.
    pub(crate) fn networks(&self) -> Vec<Network> {
        let announced = |interface: &&Interface| interface.can_announce() || interface.lacks_carrier();
        self.interfaces()
            .iter()
            .filter(announced)
            .map(|interface| Network {
                // mutation: isolation-kept-secret
                usable: interface.running && !self.isolated.contains(&interface.name),
                ..interface.network()
            })
            .collect()
    }

    /// Replaces the names of the interfaces on which this node is isolated. Returns whether they
    /// differ from before.
    pub(crate) fn set_isolated(&mut self, isolated: BTreeSet<String>) -> bool {
        let changed = self.isolated != isolated;
        self.isolated = isolated;
        changed
    }

    /// The name of an interface.
    pub(crate) fn name_of(&self, index: InterfaceIndex) -> Option<&str> {
        let interface = self.interfaces().iter().find(|interface| interface.index == index)?;
        Some(&interface.name)
    }

    /// The interfaces that can announce.
    pub(crate) fn announcing_interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.interfaces().iter().filter(|interface| interface.can_announce())
    }

    /// The ports of the interfaces that can announce.
    pub(crate) fn ports(&self) -> impl Iterator<Item = InterfacePort> {
        self.announcing_interfaces().filter_map(Interface::port)
    }

    /// The port of one interface, if that can announce.
    pub(crate) fn port(&self, index: InterfaceIndex) -> Option<InterfacePort> {
        self.ports().find(|port| port.index == index)
    }

    /// The ports of the interfaces with these names.
    pub(crate) fn ports_named(&self, names: &BTreeSet<String>) -> Vec<InterfacePort> {
        self.announcing_interfaces()
            .filter(|interface| names.contains(&interface.name))
            .filter_map(Interface::port)
            .collect()
    }

    /// The addresses of an interface, with their prefixes.
    pub(crate) fn addresses_on(&self, index: InterfaceIndex) -> &[IpNet] {
        let interface = self.interfaces().iter().find(|interface| interface.index == index);
        interface.map_or(&[], |interface| &interface.addresses)
    }

    /// The default gateways behind an interface.
    pub(crate) fn gateways_on(&self, index: InterfaceIndex) -> impl Iterator<Item = IpAddr> {
        let mut interfaces = self.interfaces().iter();
        let name = interfaces
            .find(|interface| interface.index == index)
            .map(|interface| &interface.name);
        let gateways = self.kernel.gateways.iter();
        let there = gateways.filter(move |(interface, _)| Some(interface) == name);
        there.map(|(_, address)| *address)
    }

    /// The MACs of all interfaces.
    pub(crate) fn macs(&self) -> BTreeSet<MacAddr> {
        self.interfaces().iter().filter_map(|interface| interface.mac).collect()
    }

    /// The address to ask from: one in the same prefix, which a host has no reason not to answer.
    /// Without one the request is a probe (sender 0.0.0.0), which hosts answer as well.
    pub(crate) fn source_address(&self, index: InterfaceIndex, target: Ipv4Addr) -> Ipv4Addr {
        let addresses = self.addresses_on(index).iter();
        let mut same_prefix = addresses.filter_map(|address| match address {
            ipnet::IpNet::V4(v4) if v4.contains(&target) => Some(v4.addr()),
            _ => None,
        });
        same_prefix.next().unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    /// Looks for problems of the node, and reports them if they have changed. `hears_nobody`: no
    /// speaker is heard, although other nodes are ready.
    pub(crate) fn run_preflight(&mut self, turn: &mut Turn<'_>, deaf: &BTreeSet<InterfaceIndex>, hears_nobody: bool) {
        let no_peer_heard = self.note_silence(turn.now, hears_nobody);
        let Some(interfaces) = &self.interfaces else { return };
        let deaf = interfaces.iter().filter(|interface| deaf.contains(&interface.index));
        let mut problems = find_problems(interfaces, &self.kernel, deaf.map(|interface| interface.name.as_str()));
        problems.extend(no_peer_heard);
        if self.problems.as_ref() != Some(&problems) {
            self.problems = Some(problems.clone());
            turn.outbox.push(Output::Problems(problems));
        }
    }

    /// Returns the problem if no peer has been heard for a while.
    fn note_silence(&mut self, now: Instant, hears_nobody: bool) -> Option<NodeProblem> {
        if !hears_nobody {
            self.silent_since = None;
            return None;
        }
        let since = *self.silent_since.get_or_insert(now);
        (now >= since + SILENT_AFTER).then_some(NodeProblem::NoPeerHeard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{borrow::turn, test_support::Parts, testing::ethernet};

    fn state(interfaces: Vec<Interface>) -> NodeState {
        let mut state = NodeState::default();
        state.set_interfaces(interfaces);
        state
    }

    #[test]
    fn interfaces_are_known_even_if_there_are_none() {
        let mut state = NodeState::default();
        assert!(!state.is_known());
        assert!(state.set_interfaces(vec![]) && state.is_known());
        assert!(!state.set_interfaces(vec![]), "nothing has changed");
        assert!(state.set_interfaces(vec![ethernet(1, "eth0", &[])]));
    }

    #[test]
    fn hello_names_interfaces_without_carrier_and_no_excluded_ones() {
        let without_carrier = Interface {
            running: false,
            ..ethernet(2, "eth1", &["172.16.0.1/24"])
        };
        let unused = Interface {
            running: false,
            ..ethernet(3, "eth2", &[])
        };
        let excluded = Interface {
            excluded: true,
            ..ethernet(4, "docker0", &["172.17.0.1/24"])
        };
        let state = state(vec![ethernet(1, "eth0", &[]), without_carrier, unused, excluded]);
        let networks = state.networks();
        let networks: Vec<_> = networks
            .iter()
            .map(|network| (&*network.interface, network.usable))
            .collect();
        assert_eq!(networks, [("eth0", true), ("eth1", false)]);
        assert_eq!(state.ports().count(), 1);
        assert_eq!(state.port(InterfaceIndex(2)), None);
        assert_eq!(state.macs().len(), 4);
    }

    #[test]
    fn p1_hello_says_where_the_node_is_isolated() {
        let mut state = state(vec![ethernet(1, "eth0", &[]), ethernet(2, "eth1", &[])]);
        let carriers = |state: &NodeState| {
            let networks = state.networks();
            Vec::from_iter(networks.iter().map(|network| network.usable))
        };
        assert!(state.set_isolated(["eth1".to_owned()].into()) && !state.set_isolated(["eth1".to_owned()].into()));
        assert_eq!(carriers(&state), [true, false]);
        assert!(state.set_isolated(BTreeSet::new()));
        assert_eq!(carriers(&state), [true, true]);
    }

    #[test]
    fn questions_come_from_an_address_in_the_prefix_of_the_target() {
        let state = state(vec![
            ethernet(1, "eth0", &["10.0.0.1/24", "192.0.2.250/24"]),
            ethernet(2, "eth1", &["172.16.0.1/24"]),
        ]);
        for (index, target, source) in [
            (1, [192, 0, 2, 1], [192, 0, 2, 250]),
            (1, [10, 0, 0, 9], [10, 0, 0, 1]),
            (2, [10, 0, 0, 9], [0; 4]),
            (1, [203, 0, 113, 1], [0; 4]),
        ] {
            let found = state.source_address(InterfaceIndex(index), target.into());
            assert_eq!(found, Ipv4Addr::from(source), "{target:?}");
        }
    }

    #[test]
    fn problems_are_reported_only_when_they_change() {
        let mut parts = Parts::new(&["a"], &[]);
        let deaf = BTreeSet::from([InterfaceIndex(1)]);
        let interface = "eth0".to_owned();
        let problem = BTreeSet::from([NodeProblem::HearsNoBroadcast { interface }]);
        for (deaf, report) in [
            (BTreeSet::new(), Some(BTreeSet::new())),
            (deaf.clone(), Some(problem)),
            (deaf, None),
            (BTreeSet::new(), Some(BTreeSet::new())),
        ] {
            parts.node.run_preflight(turn!(parts, parts.now), &deaf, false);
            let outputs = parts.drain().others;
            assert_eq!(outputs, Vec::from_iter(report.map(Output::Problems)));
        }
    }
}
