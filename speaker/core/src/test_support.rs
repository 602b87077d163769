//! A speaker taken apart, for the unit tests of its parts.
//!
//! [`Parts`] names its fields as [`Speaker`](crate::Speaker) does. So the macros `turn!`, `view!`,
//! `surroundings!` and `full_state!` borrow from it too.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    borrow::{turn, view},
    cluster_snapshot::ClusterSnapshot,
    context::{Context, Sinks},
    event::Event,
    lan::{Announcement, Lan},
    liveness::{
        Liveness,
        peers::{Arrival, Path, Sighting},
    },
    node::{NodeState, interface::InterfacePort},
    output::{Output, OwnedAddress},
    ownership::{Ownership, ReceivedClaim, claims::ClaimOutcome},
    settings::Settings,
    testing::{ethernet, snapshot, start},
    types::{BootId, Epoch, InterfaceIndex, MacAddr},
    wire::message::{Claim, Message, Network},
};

/// The parts of the speaker of node `a`, which has finished listening, and the time of the test.
pub(crate) struct Parts {
    pub(crate) now: Instant,
    pub(crate) context: Context,
    pub(crate) node: NodeState,
    pub(crate) lan: Lan,
    pub(crate) liveness: Liveness,
    pub(crate) ownership: Ownership,
    pub(crate) sinks: Sinks,
    /// The sequence number of the latest message of any peer.
    sequence: u64,
}

impl Parts {
    /// A cluster of these nodes, with one Service for each address. Only `a` was heard so far.
    ///
    /// Node number n, counted from 1, has the InternalIP 10.0.0.n. It announces on `eth0`, with the
    /// MAC 02:00:00:00:00:n and the address 192.0.2.(200 + n).
    pub(crate) fn new(nodes: &[&str], addresses: &[&str]) -> Self {
        Self::with_settings(nodes, addresses, Settings::default())
    }

    /// As [`Self::new`], with other settings than the default ones.
    pub(crate) fn with_settings(nodes: &[&str], addresses: &[&str], settings: Settings) -> Self {
        let mut parts = Self {
            now: start(),
            context: Context {
                me: "a".into(),
                settings,
                snapshot: None,
                deleted: std::collections::BTreeMap::new(),
                listening: false,
                shutdown: None,
            },
            node: NodeState::default(),
            lan: Lan::new(&settings),
            liveness: Liveness::default(),
            ownership: Ownership::default(),
            sinks: Sinks::default(),
            sequence: 0,
        };
        parts
            .node
            .set_interfaces(vec![ethernet(1, "eth0", &["192.0.2.201/24", "fe80::1/64"])]);
        parts.lan.set_own_macs(parts.node.macs(), |_| true);
        parts.set_snapshot(snapshot(nodes, addresses));
        parts
    }

    /// Replaces the snapshot, and what the parts derive from it.
    pub(crate) fn set_snapshot(&mut self, snapshot: ClusterSnapshot) {
        let snapshot = Arc::new(snapshot);
        self.context.set_snapshot(self.now, snapshot.clone());
        self.liveness.retain(turn!(self, self.now), &snapshot);
        self.liveness.rebuild_ring(&self.context);
        self.ownership
            .retain(turn!(self, self.now), self.liveness.cycle(), &snapshot);
        let destinations = self.liveness.destinations(&self.context);
        self.sinks.outbox.set_destinations(destinations);
    }

    /// Changes the snapshot.
    pub(crate) fn edit_snapshot(&mut self, edit: impl FnOnce(&mut ClusterSnapshot)) {
        let mut snapshot = ClusterSnapshot::clone(self.context.snapshot.as_ref().unwrap());
        edit(&mut snapshot);
        self.set_snapshot(snapshot);
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }

    /// The number of a node in the snapshot, from 1.
    fn number(&self, node: &str) -> u8 {
        let snapshot = self.context.snapshot.as_ref().unwrap();
        let index = snapshot.nodes.keys().position(|name| name.as_str() == node).unwrap();
        u8::try_from(index + 1).unwrap()
    }

    /// The MAC of a node on `eth0`.
    pub(crate) fn mac(&self, node: &str) -> MacAddr {
        MacAddr::new(2, 0, 0, 0, 0, self.number(node))
    }

    /// The address of a node on `eth0`.
    pub(crate) fn lan_ip(&self, node: &str) -> IpAddr {
        [192, 0, 2, 200 + self.number(node)].into()
    }

    /// What the Hello of a node says of its `eth0`.
    pub(crate) fn network(&self, node: &str) -> Network {
        network("eth0", self.mac(node), &[&format!("{}/24", self.lan_ip(node))])
    }

    /// The port of `eth0` of this node.
    pub(crate) fn port(&self) -> InterfacePort {
        self.node.port(InterfaceIndex(1)).unwrap()
    }

    /// A message of `node` arrives.
    pub(crate) fn hear(&mut self, node: &str, path: Path) -> Sighting {
        self.sequence += 1;
        let arrival = Arrival {
            address: [10, 0, 0, self.number(node)].into(),
            path,
            boot: BootId(1),
            sequence: self.sequence,
        };
        self.liveness.handle_arrival(self.now, &node.into(), &arrival)
    }

    /// A heartbeat of `node` arrives: this node watches it from now on.
    pub(crate) fn beat(&mut self, node: &str, path: Path) {
        self.hear(node, path);
        self.liveness
            .handle_heartbeat(turn!(self, self.now), &node.into(), path);
    }

    /// The Hello of `node` arrives, with all its claims. So the node is eligible, and this node
    /// waits for nothing more from it. This node does not watch it.
    pub(crate) fn join(&mut self, node: &str) {
        self.hear(node, Path::Node);
        let network = self.network(node);
        self.liveness.handle_networks(&node.into(), vec![network]);
        self.liveness.handle_claims_complete(&node.into());
    }

    /// `reporter` declares that `node` has failed. This node does not watch it.
    pub(crate) fn report_failed(&mut self, node: &str, reporter: &str) {
        let counts = self
            .liveness
            .handle_failure_report(self.now, &reporter.into(), &node.into());
        assert!(counts, "this node hears {node}");
    }

    /// The claim of `node` arrives, sent by the node itself.
    pub(crate) fn claim(&mut self, node: &str, address: &str, epoch: u64) -> ClaimOutcome {
        self.claim_as(node, claim(address, epoch), false)
    }

    /// A claim of `node` arrives.
    pub(crate) fn claim_as(&mut self, node: &str, claim: Claim, relayed: bool) -> ClaimOutcome {
        let (view, turn) = (view!(self, self.now), turn!(self, self.now));
        let node = node.into();
        let received = ReceivedClaim {
            node: &node,
            claim,
            relayed,
        };
        self.ownership.handle_claim(turn, view, received)
    }

    /// How this node announces an address on `eth0`.
    pub(crate) fn announcement(&self, address: &str) -> Announcement {
        let address = ip(address);
        Announcement {
            owned: OwnedAddress {
                address,
                services: self.context.snapshot.as_ref().unwrap().service_names(address),
                interfaces: None,
                co_owners: [].into(),
            },
            ports: vec![self.port()],
        }
    }

    /// Takes everything that the parts have put out so far.
    pub(crate) fn drain(&mut self) -> Drained {
        let mut drained = Drained::default();
        while let Some(output) = self.sinks.outbox.pop() {
            match output {
                Output::Send { to, message, .. } => drained.messages.push((to.to_string(), message)),
                Output::SendHeartbeat { to, .. } => drained.heartbeats.push(to.to_string()),
                Output::Frame { frame, .. } => drained.frames.push(frame),
                Output::Event(event) => drained.events.push(event),
                other => drained.others.push(other),
            }
        }
        drained
    }
}

/// Outputs by kind, each in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    /// Messages other than heartbeats, each with its receiver.
    pub(crate) messages: Vec<(String, Message)>,
    /// The receivers of heartbeats.
    pub(crate) heartbeats: Vec<String>,
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) events: Vec<Event>,
    pub(crate) others: Vec<Output>,
}

impl Drained {
    /// The receivers of one message.
    pub(crate) fn receivers_of(&self, wanted: &Message) -> Vec<&str> {
        let sent = self.messages.iter().filter(|(_, message)| message == wanted);
        sent.map(|(to, _)| &**to).collect()
    }
}

pub(crate) fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

pub(crate) fn network(interface: &str, mac: MacAddr, prefixes: &[&str]) -> Network {
    Network {
        interface: interface.to_owned(),
        mac,
        addresses: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
        usable: true,
    }
}

/// A claim that is not tentative.
pub(crate) fn claim(address: &str, epoch: u64) -> Claim {
    Claim {
        address: ip(address),
        epoch: Epoch(epoch),
        tentative: false,
    }
}
