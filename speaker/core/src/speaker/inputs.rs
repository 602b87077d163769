//! What is learnt from Kubernetes and from the node itself.

use std::{sync::Arc, time::Instant};

use super::Speaker;
use crate::{
    core::{facts::ClusterSnapshot, interface::Interface, peers::cycle, preflight::Kernel, settings::DeputyMode},
    wire::message::{Message, NodeName},
};

impl Speaker {
    /// Takes in what is known from Kubernetes.
    pub fn handle_snapshot(&mut self, now: Instant, facts: Arc<ClusterSnapshot>) {
        let first = self.facts.is_none();
        self.peers.retain(now, &facts);
        self.forget_gone(&facts);
        self.outbid.retain(|address, _| facts.addresses.contains_key(address));
        // Others may know of an address before we do: what they say of it is kept for as long as they say it.
        let me = self.me.clone();
        self.claims.retain(now, &me, cycle(facts.nodes.len()), |address| {
            facts.addresses.contains_key(&address)
        });
        self.unowned.retain(|address, _| facts.addresses.contains_key(address));
        self.better.retain(|address, _| facts.addresses.contains_key(address));
        self.hopeless.retain(|address, _| facts.addresses.contains_key(address));
        self.counts
            .traffic
            .retain(|address, _| facts.addresses.contains_key(address));
        self.facts = Some(facts);
        self.redraw_ring();
        self.verdicts = None;
        if first && self.interfaces.is_some() {
            self.greet();
        }
        self.changed(now);
    }

    /// Takes in the interfaces of this node.
    pub fn handle_interfaces(&mut self, now: Instant, interfaces: Vec<Interface>) {
        if self.interfaces.as_ref() != Some(&interfaces) {
            self.interfaces = Some(interfaces);
            self.verdicts = None;
            self.groups.clear();
            // The others are to know at once.
            self.greet();
            self.changed(now);
        }
    }

    /// Takes in how the kernel of this node is set.
    pub fn handle_kernel_settings(&mut self, now: Instant, kernel: Kernel) {
        self.kernel = kernel;
        self.look_at_node(now);
    }

    /// The kernel of another node has said that nobody listens there: its speaker is away, most likely, and the node lives. This may be
    /// forged, so it is worth a doubt and no more.
    pub fn handle_port_unreachable(&mut self, now: Instant, node: &NodeName) {
        if self.peers.refused(now, node) {
            self.notice(now, node);
        }
    }

    /// The process is about to end. Others stand in for this node until it is back, or take over if it does not stay. What nobody answers for
    /// stays announced until the end.
    pub fn begin_shutdown(&mut self, now: Instant) {
        let draining = self.facts.as_ref().and_then(|facts| facts.nodes.get(&self.me));
        let handover = self.settings.deputy == DeputyMode::Off || draining.is_some_and(|node| node.draining);
        self.leaving = Some(handover);
        self.tell_everybody(&Message::Leaving { handover });
        self.changed(now);
    }

    /// Whether everything that is announced is answered for by others.
    #[must_use]
    pub fn may_stop(&self) -> bool {
        self.announced().all(|owned| self.covered.contains(&owned.address))
    }
}
