//! What a scenario can do to the cluster.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rand::RngExt;

use super::{
    SpeakerProcess, World,
    node::BOOT_STEP,
    schedule::{Delivery, NodeInput},
};

/// The longest time until a new speaker has its first snapshot, in microseconds.
const INITIAL_SYNC: u64 = 200_000;

/// The longest time until a speaker sees a change at the API server, in microseconds.
const WATCH_DELAY: u64 = 50_000;

impl World {
    /// Starts the speaker of a node.
    pub fn start(&mut self, index: usize) {
        let interfaces = self.interfaces(index);
        let node = &mut self.nodes[index];
        let speaker = SpeakerProcess::start(self.now, node.name.clone(), self.spec.settings, interfaces);
        node.started = Some(self.now);
        node.boot.0 += BOOT_STEP;
        node.sequence = 0;
        node.frozen = false;
        node.pending.clear();
        node.speaker = Some(speaker);
        self.snapshot.recorded.clone_from(&self.statuses);
        let delay = Duration::from_micros(self.random.random_range(0..INITIAL_SYNC));
        let snapshot = NodeInput::Snapshot(Arc::new(self.snapshot.clone()));
        self.schedule.push(self.now + delay, Delivery::ToNode(index, snapshot));
        self.carry_out_outputs(index);
    }

    /// Begins the shutdown of a speaker. [`World::kill`] ends it.
    pub fn begin_shutdown(&mut self, index: usize) {
        let now = self.now;
        if let Some(speaker) = &mut self.nodes[index].speaker {
            speaker.begin_shutdown(now);
        }
        self.carry_out_outputs(index);
    }

    /// Kills the speaker of a node.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].speaker = None;
    }

    /// Takes the power from a node, and with it its speaker.
    pub fn power_off(&mut self, index: usize) {
        self.nodes[index].has_power = false;
        self.nodes[index].speaker = None;
    }

    /// Sets the clock of a node to a time before its last start.
    pub fn set_clock_back(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.boot.0 = node.boot.0.saturating_sub(BOOT_STEP + 1);
    }

    /// Sets whether the LAN interface of a node has a carrier.
    pub fn set_carrier(&mut self, index: usize, carrier: bool) {
        self.nodes[index].carrier = carrier;
        let interfaces = self.interfaces(index);
        let now = self.now;
        if let Some(speaker) = &mut self.nodes[index].speaker {
            speaker.handle_interfaces(now, interfaces);
        }
        self.carry_out_outputs(index);
    }

    /// Resumes a frozen speaker. It receives what its sockets have queued.
    pub fn thaw(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.frozen = false;
        node.timeout = Some(self.now);
        for input in std::mem::take(&mut node.pending) {
            self.schedule.push(self.now, Delivery::ToNode(index, input));
        }
        self.schedule
            .push(self.now, Delivery::ToNode(index, NodeInput::Timeout));
    }

    /// Stops everything on a node for `time`.
    pub fn stall(&mut self, index: usize, time: Duration) {
        self.nodes[index].stalled_until = Some(self.now + time);
    }

    /// Gives the speaker of a node another key than that of all others. It does not keep its old
    /// key, because it starts again.
    pub fn replace_key(&mut self, index: usize) {
        let newest = self.nodes.iter().flat_map(|node| &node.keys).max();
        let key = newest.copied().unwrap_or_default() + 1;
        self.nodes[index].keys = BTreeSet::from([key]);
    }

    /// Lets the speakers of all nodes learn all keys, as from the API server.
    pub fn share_keys(&mut self) {
        let all: BTreeSet<u32> = self.nodes.iter().flat_map(|node| &node.keys).copied().collect();
        for node in &mut self.nodes {
            node.keys.clone_from(&all);
        }
    }

    /// Sends a node a forged ICMP port-unreachable in the name of the node `of`.
    pub fn forge_port_unreachable(&mut self, index: usize, of: usize) {
        let forged = NodeInput::PortUnreachable(self.nodes[of].name.clone());
        self.schedule.push(self.now, Delivery::ToNode(index, forged));
    }

    /// Sends the present snapshot to all speakers that see the API server, to each after a delay of
    /// its own.
    pub fn publish_snapshot(&mut self) {
        let snapshot = Arc::new(self.snapshot.clone());
        for index in 0..self.nodes.len() {
            if self.nodes[index].sees_api {
                let delay = Duration::from_micros(self.random.random_range(0..WATCH_DELAY));
                let input = NodeInput::Snapshot(snapshot.clone());
                self.schedule.push(self.now + delay, Delivery::ToNode(index, input));
            }
        }
    }
}
