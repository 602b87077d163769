//! What this node finds out about a peer that it does not hear. Its sources are the answers on the
//! segments that they share, and what else is heard there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    peers::{Conclusion, Path, Phase},
    reachability::Reachability,
    view::View,
};
use crate::types::{InterfaceIndex, NodeName};

/// How long a node that has never seen another host to ask assumes that the silence is its own
/// fault.
const ISOLATION_WITHOUT_HOSTS: Duration = Duration::from_secs(1);

/// How many watchers must declare a node failed that never answered a request.
const QUORUM: usize = 2;

impl View<'_> {
    /// Whether nothing is heard on an interface: then this node is the one cut off there.
    pub(crate) fn is_isolated_on(&self, interface: InterfaceIndex) -> bool {
        let path = Path::Segment(interface);
        let is_watched = |node: &NodeName| self.peers().phase_on(node, self.now, path).is_some();
        let watches_some = self.peers().nodes().any(is_watched);
        let mut since: Option<Instant> = None;
        for node in self.peers().nodes() {
            if self.peers().leaving(node).is_some() {
                continue;
            }
            match self.phase_facing(node, interface) {
                Some(Phase::Failed(from)) => since = Some(since.map_or(from, |since| since.max(from))),
                // Some paths have learned more patience than others: a suspect may be as silent as
                // the rest.
                Some(Phase::Suspect) | None => {}
                // Above eight nodes this node watches some peers only. The others are heard, but
                // perhaps on another network.
                // mutation: unwatched-peer-is-heard-everywhere
                Some(Phase::Alive) if watches_some && !is_watched(node) => {}
                Some(Phase::Alive) => return false,
            }
        }
        let Some(since) = since else { return false };
        // A failed peer had been silent for a while when it was declared failed.
        let neighbours = self.around.neighbours;
        let nobody_to_ask = !neighbours.knows_host_on(interface) && self.now >= since + ISOLATION_WITHOUT_HOSTS;
        !neighbours.is_heard_since(interface, since) && !nobody_to_ask
    }

    /// The own interfaces on which this node is isolated.
    pub(crate) fn isolated_interfaces(&self) -> BTreeSet<InterfaceIndex> {
        let ports = self.around.node.ports().map(|port| port.index);
        ports.filter(|index| self.is_isolated_on(*index)).collect()
    }

    /// The phase of a peer that an own interface faces, on the path there. `None` if it faces none
    /// of its networks.
    pub(super) fn phase_facing(&self, node: &NodeName, interface: InterfaceIndex) -> Option<Phase> {
        let all = self.peers().networks_of(node).iter();
        let all: BTreeSet<String> = all.map(|network| network.interface.clone()).collect();
        let mut facing = self.facing(node, &all).into_iter();
        let (_, network) = facing.find(|(port, _)| port.index == interface)?;
        self.network_phase(node, network)
    }

    /// The result of the reachability check of a node on the segments of these of its interfaces,
    /// if its silence there means anything. A segment on which heartbeats arrive is in no doubt.
    pub(crate) fn reachability(&self, node: &NodeName, interfaces: &BTreeSet<String>) -> Reachability {
        let facing = self.facing(node, interfaces);
        if facing.is_empty() {
            return self.reachability_on(node, None);
        }
        let is_failed = |phase: Option<Phase>| phase.is_some_and(Phase::is_failed);
        let any_failed = facing
            .iter()
            .any(|(_, network)| is_failed(self.network_phase(node, network)));
        // Two ports may lead to one network: an answer on either is an answer.
        let mut by_network: BTreeMap<&str, Reachability> = BTreeMap::new();
        for (port, network) in &facing {
            if any_failed && !is_failed(self.network_phase(node, network)) {
                continue;
            }
            let result = self.reachability_on(node, Some(port.index));
            let best = by_network.entry(&network.interface).or_insert(result);
            *best = (*best).max(result);
        }
        // A node that is down on one segment is no owner there, whatever it does elsewhere.
        let decided = by_network
            .into_values()
            .filter(|result| *result != Reachability::Undecided);
        decided.min().unwrap_or(Reachability::Undecided)
    }

    /// The result of the check on one own interface; `None`: no interface faces the node.
    fn reachability_on(&self, node: &NodeName, interface: Option<InterfaceIndex>) -> Reachability {
        let conclusion = self.peers().conclusion(node);
        let Some(segment) = conclusion.and_then(|conclusion| conclusion.checks.get(&interface)) else {
            return Reachability::Undecided;
        };
        let is_isolated = || match interface {
            Some(interface) => self.is_isolated_on(interface),
            None => self.is_isolated_anywhere(),
        };
        match segment.check.result(self.peers().loss(node)) {
            Reachability::NodeDown if is_isolated() => Reachability::Undecided,
            Reachability::NodeDown if !self.is_silence_proof(node, interface) => Reachability::Undecided,
            result => result,
        }
    }

    fn is_isolated_anywhere(&self) -> bool {
        !self.isolated_interfaces().is_empty()
    }

    /// Whether the silence of a node on an interface means anything. Where it never answered a
    /// request, other watchers must agree. Where all watchers have failed, nobody else can.
    fn is_silence_proof(&self, node: &NodeName, interface: Option<InterfaceIndex>) -> bool {
        let answers = |conclusion: &Conclusion| interface.is_some_and(|on| conclusion.answered.contains(&on));
        if self.peers().conclusion(node).is_some_and(answers) || self.peers().is_unwatched(node) {
            return true;
        }
        let failed = |other: &NodeName| !self.is_heard(other);
        let watchers = self.liveness.ring.watchers(node, failed).into_iter();
        let wanted = watchers.filter(|other| !failed(other)).count().min(QUORUM);
        let facing = self
            .pairs(node)
            .into_iter()
            .find(|(port, _)| Some(port.index) == interface);
        let network = facing.map(|(_, network)| (self.path_to(node, network), &*network.interface));
        let path = network.and_then(|(path, _)| path);
        if path.is_some_and(|path| self.peers().is_unwatched_on(node, path)) {
            return true;
        }
        self.peers().failure_reports(node, self.now, network) >= wanted
    }

    /// Whether this node checks another one on the wire.
    pub(crate) fn is_checked(&self, node: &NodeName) -> bool {
        self.peers()
            .conclusion(node)
            .is_some_and(|conclusion| !conclusion.checks.is_empty())
    }

    /// Whether a node answers a reachability check on no segment, or not on some segment, even
    /// where that does not prove anything yet.
    pub(crate) fn answers_no_check(&self, node: &NodeName) -> bool {
        let checks = self.peers().conclusion(node).map(|conclusion| &conclusion.checks);
        let loss = self.peers().loss(node);
        let mut checks = checks.into_iter().flatten();
        checks.any(|(_, segment)| segment.check.result(loss) == Reachability::NodeDown)
    }
}
