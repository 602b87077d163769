//! What the speaker receives from Kubernetes, from its node, and from the kernels of other nodes.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::Speaker;
use crate::{
    borrow::{surroundings, turn},
    cluster_snapshot::ClusterSnapshot,
    context::Shutdown,
    liveness::AddressUser,
    node::{interface::Interface, preflight::KernelSettings},
    settings::{DeputyMode, Settings},
    timers::Timer,
    types::{InterfaceIndex, MacAddr, NodeName},
    wire::FrameKind,
    wire::message::Message,
};

impl Speaker {
    /// Handles a new snapshot of the cluster.
    pub fn handle_snapshot(&mut self, now: Instant, snapshot: Arc<ClusterSnapshot>) {
        let is_first = self.context.snapshot.is_none();
        self.sinks
            .stats
            .retain_addresses(|address| snapshot.addresses.contains_key(address));
        self.context.set_snapshot(now, snapshot.clone());
        self.lan
            .retain_owners(|address| snapshot.addresses.contains_key(&address));
        self.liveness.retain(turn!(self, now), &snapshot);
        let (peers, me) = (self.liveness.peers(), self.context.me.clone());
        self.context
            .deleted
            .retain(|node, _| *node == me || peers.session(node).is_some());
        self.sync
            .retain(|node| snapshot.nodes.contains_key(node) || peers.session(node).is_some());
        self.liveness.rebuild_ring(&self.context);
        self.ownership
            .retain(turn!(self, now), self.liveness.cycle(), &snapshot);
        self.sinks
            .outbox
            .set_destinations(self.liveness.destinations(&self.context));
        self.follow_segments(now);
        if is_first {
            self.broadcast_hello();
        }
        self.handle_change(now);
    }

    /// Handles the interfaces of this node, all of them.
    pub fn handle_interfaces(&mut self, now: Instant, interfaces: Vec<Interface>) {
        if self.node.set_interfaces(interfaces) {
            let node = &self.node;
            self.lan
                .set_own_macs(node.macs(), |interface| node.port(interface).is_some());
            // A new port has to learn whom it faces.
            self.sinks.timers.set_earlier(Timer::ReachabilityBaseline, now);
            self.ownership.invalidate_verdicts();
            // The others have to learn it at once, and the node network may be what has gone.
            self.tell_networks();
            self.follow_segments(now);
            self.handle_change(now);
        }
    }

    /// Handles the kernel settings of this node.
    pub fn handle_kernel_settings(&mut self, now: Instant, kernel: KernelSettings) {
        self.node.set_kernel_settings(kernel);
        self.run_preflight(now);
    }

    /// Handles "port unreachable" from the kernel of a node: most likely its speaker is down, and
    /// the node lives. It can be forged, so it makes the peer suspect and no more.
    pub fn handle_port_unreachable(&mut self, now: Instant, node: &NodeName) {
        if self.liveness.handle_port_unreachable(now, node) {
            self.review_peer(now, node);
        }
    }

    /// Handles an Ethernet frame from an interface. Returns a reply to send on the same interface.
    pub fn handle_frame(
        &mut self,
        now: Instant,
        interface: InterfaceIndex,
        kind: FrameKind,
        frame: &[u8],
    ) -> Option<Vec<u8>> {
        let outcome = self.lan.handle_frame(turn!(self, now), interface, kind, frame);
        if let Some((node, seen)) = &outcome.peer_use {
            let owns = self.ownership.is_claimed_by(seen.address, node);
            self.liveness
                .count_answer(turn!(self, now), seen, AddressUser { node, owns });
            if owns && self.lan.note_owner(seen) {
                turn!(self, now).request_review();
            }
            self.handle_peer_use(now, node, seen);
        }
        if let Some((node, address)) = &outcome.peer_probe {
            self.handle_peer_probe(now, node, *address);
        }
        if outcome.is_new_mac {
            self.follow_segments(now);
            turn!(self, now).request_review();
        }
        outcome.reply
    }

    /// Begins to shut down. Deputies answer for this node until it is back, or others take its
    /// addresses over if it does not stay. An address without a deputy stays announced until the
    /// end.
    pub fn begin_shutdown(&mut self, now: Instant) {
        let snapshot = self.context.snapshot.as_ref();
        let node = snapshot.and_then(|snapshot| snapshot.nodes.get(&self.context.me));
        let draining = node.is_some_and(|node| node.draining) || self.context.deleted.contains_key(&self.context.me);
        let Settings {
            deputy,
            speaker_down_limit,
            ..
        } = self.context.settings;
        let stays = deputy != DeputyMode::Off && !speaker_down_limit.is_zero();
        let handover = !stays || draining;
        self.context.shutdown = Some(Shutdown { handover });
        self.sinks.outbox.broadcast(&Message::Leaving { handover });
        self.handle_change(now);
    }

    /// Whether other nodes answer for everything that this node announces.
    #[must_use]
    pub fn may_stop(&self) -> bool {
        self.lan
            .announced()
            .all(|owned| self.ownership.is_covered(owned.address))
    }

    /// Tells all nodes over all paths what became of the networks of this one.
    pub(super) fn tell_networks(&mut self) {
        if self.node.is_known() {
            let hello = Message::Hello(self.node.networks());
            self.sinks.outbox.broadcast_over_all_paths(&hello);
        }
    }

    /// Finds the addresses of every peer on common segments.
    fn follow_segments(&mut self, now: Instant) {
        let nodes: Vec<NodeName> = self.liveness.peers().nodes().cloned().collect();
        for node in nodes {
            self.follow_segments_of(now, &node);
        }
    }

    fn follow_segments_of(&mut self, now: Instant, node: &NodeName) {
        let around = surroundings!(self);
        let addresses = self.liveness.follow_segments(turn!(self, now), around, node);
        self.sinks.outbox.set_segments(node, addresses);
    }

    /// Handles changed networks of a peer.
    pub(super) fn handle_networks_changed(&mut self, now: Instant, node: &NodeName) {
        self.follow_segments_of(now, node);
        let peers = self.liveness.peers();
        let mut macs: BTreeMap<MacAddr, NodeName> = BTreeMap::new();
        for peer in peers.nodes() {
            // A node that is isolated may be heard all the same.
            let networks = peers.all_networks_of(peer).iter();
            macs.extend(networks.map(|network| (network.mac, peer.clone())));
        }
        let turn = turn!(self, now);
        self.lan.set_peer_macs(turn, macs);
        self.liveness.ask_peer(turn, surroundings!(self), node);
        self.ownership.invalidate_verdicts();
        turn.request_review();
    }
}
