//! The simulated cluster, in virtual time. It has nodes with a speaker each, the LAN, the node
//! network, a client on the LAN, and the packets between them.
//!
//! [`World::run`] takes deliveries from a schedule, hands each to its node, and carries out the
//! outputs of the speaker. Everything random comes from one generator, so a seed fixes the run.

mod client;
mod deliver;
mod faults;
mod network;
mod node;
mod observed;
mod record;
mod schedule;
mod snapshot;
mod speaker_process;
mod spec;

use std::{
    collections::HashMap,
    io::Write,
    time::{Duration, Instant},
};

use lodestone_speaker_core::{ClusterSnapshot, NodeName, RecordedOwners, testing};
use rand::{SeedableRng, rngs::StdRng};

use crate::link_conditions::LinkConditions;

pub use client::LanClient;
use network::SegmentTimes;
pub use node::SimNode;
pub use observed::{Observed, Takeover};
use schedule::DeliveryQueue;
pub use speaker_process::SpeakerProcess;
pub use spec::{ExtraInterface, WorldSpec};

/// A simulated cluster.
pub struct World {
    /// The virtual time.
    pub now: Instant,
    /// When the simulation began.
    pub start: Instant,
    /// The nodes, by index.
    pub nodes: Vec<SimNode>,
    /// The content of the API server. Speakers see a change after [`World::publish_snapshot`].
    pub snapshot: ClusterSnapshot,
    /// Conditions of the LAN.
    pub lan: LinkConditions,
    /// Conditions of the node network.
    pub node_network: LinkConditions,
    /// The client on the LAN.
    pub client: LanClient,
    /// Events of the speakers since they were last taken from here.
    pub observed: Vec<Observed>,
    /// Receives every packet that is sent, as lines of JSON.
    pub record: Option<Box<dyn Write>>,
    /// What ServiceL2Status says: the node that last announced each Service. A speaker reads it
    /// when it starts.
    statuses: RecordedOwners,
    random: StdRng,
    /// What it consists of.
    pub(crate) spec: WorldSpec,
    indices: HashMap<NodeName, usize>,
    schedule: DeliveryQueue,
    bursts: SegmentTimes,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

impl World {
    /// Returns a cluster whose speakers have just been started.
    #[must_use]
    pub fn new(spec: WorldSpec) -> Self {
        let now = testing::start();
        let names: Vec<NodeName> = (0..spec.nodes).map(|index| format!("node-{index}").into()).collect();
        let mut world = Self {
            now,
            start: now,
            snapshot: snapshot::build(&spec, &names),
            nodes: names.iter().cloned().map(SimNode::new).collect(),
            lan: LinkConditions::default(),
            node_network: LinkConditions::default(),
            client: LanClient::default(),
            observed: Vec::new(),
            record: None,
            statuses: RecordedOwners::new(),
            random: StdRng::seed_from_u64(spec.seed),
            spec,
            indices: names.into_iter().zip(0..).collect(),
            schedule: DeliveryQueue::default(),
            bursts: SegmentTimes::default(),
        };
        for index in 0..world.nodes.len() {
            world.start(index);
        }
        world
    }

    /// Returns the virtual time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(self.start)
    }

    /// Sets the conditions of both networks.
    pub fn set_conditions(&mut self, conditions: LinkConditions) {
        (self.lan, self.node_network) = (conditions, conditions);
    }

    /// Lets `time` pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, delivery)) = self.schedule.pop_due(end) {
            self.now = self.now.max(at);
            self.deliver(delivery);
        }
        self.now = end;
    }

    fn index_of(&self, node: &NodeName) -> Option<usize> {
        self.indices.get(node).copied()
    }
}
