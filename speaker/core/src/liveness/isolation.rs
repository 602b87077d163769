//! Segments on which this node is isolated although it hears peers elsewhere: it says so there, and
//! steps down for the addresses of the segment.
//!
//! ```text
//!   all peers there fail ──► asks gateways and hosts ──► none answers ──► isolated
//!                                     │                                      │
//!                                     └──────── anything is heard ◄──────────┘
//! ```

use std::time::Instant;

use super::{
    Liveness,
    peers::{NetworkNames, Phase},
    reachability::{Isolation, Reachability, ReachabilityCheck},
    reachability_requests::send_requests_to_hosts,
    view::{Surroundings, View},
};
use crate::{
    context::Turn,
    types::{InterfaceIndex, NodeName},
};

/// How many peers must be silent on a segment and heard elsewhere, where no host is known that this
/// node could ask.
const SILENT_PEERS: usize = 2;

impl View<'_> {
    /// The own interfaces on which this node is isolated, by name.
    pub(crate) fn isolated_networks(&self) -> NetworkNames {
        let concluded = self.liveness.isolation.iter().filter(|(interface, isolation)| {
            isolation.check.result(0.0) == Reachability::NodeDown && self.proves_isolation(**interface)
        });
        concluded
            .filter_map(|(interface, _)| self.around.node.name_of(*interface))
            .map(str::to_owned)
            .collect()
    }

    /// Whether silence on an interface means that this node is isolated there: it knows whom to
    /// ask, or several peers are silent there at once.
    fn proves_isolation(&self, interface: InterfaceIndex) -> bool {
        let has_gateway = self.around.node.gateways_on(interface).next().is_some();
        let knows_host = self.around.neighbours.knows_host_on(interface);
        knows_host || has_gateway || self.silent_peers(interface) >= SILENT_PEERS
    }

    /// The number of peers that are silent on an interface, and heard elsewhere.
    fn silent_peers(&self, interface: InterfaceIndex) -> usize {
        let is_silent = |node: &&NodeName| {
            let there = self.phase_facing(node, interface);
            there.is_some_and(Phase::is_failed) && self.peers().is_heard(node, self.now)
        };
        self.peers().nodes().filter(is_silent).count()
    }
}

impl Liveness {
    /// Begins to ask on the interfaces where nothing is heard, while peers are heard elsewhere.
    pub(super) fn begin_isolation(&mut self, turn: &mut Turn<'_>, around: Surroundings<'_>) {
        let view = self.view(turn.now, turn.context, around);
        let isolated = view.isolated_interfaces().into_iter();
        let new: Vec<InterfaceIndex> = isolated.filter(|interface| view.silent_peers(*interface) > 0).collect();
        for interface in new {
            self.isolation.entry(interface).or_insert_with(|| Isolation {
                since: turn.now,
                check: ReachabilityCheck::new(turn.now),
            });
        }
        self.arm_checks(turn);
    }

    /// Asks where this is due, and ends the isolation where something was heard.
    pub(super) fn follow_isolation(&mut self, turn: &mut Turn<'_>, around: Surroundings<'_>) {
        self.isolation.retain(|interface, isolation| {
            let is_over = around.neighbours.is_heard_since(*interface, isolation.since);
            !is_over && around.node.port(*interface).is_some()
        });
        let now = turn.now;
        for (interface, isolation) in &mut self.isolation {
            if isolation.check.next_timeout() <= now {
                send_requests_to_hosts(turn, around, &[*interface].into());
                isolation.check.note_asked(now);
            }
        }
    }

    /// When the next request of an isolated node is due.
    pub(super) fn next_isolation_request(&self) -> Option<Instant> {
        self.isolation
            .values()
            .map(|isolation| isolation.check.next_timeout())
            .min()
    }
}
