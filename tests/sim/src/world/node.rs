//! A node of the simulated cluster.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use lodestone_speaker_core::{BootId, NodeName};

use super::{SpeakerProcess, network::SimInterface, schedule::NodeInput};

/// How much a node's wall clock advances between two starts of its speaker, which takes its boot id
/// from that clock.
pub(super) const BOOT_STEP: u64 = 1_000_000;

/// A speaker can own an address this long after its start. By then it has seen the API server, has
/// listened to the others, and conflict detection is over.
const START_UP: Duration = Duration::from_millis(1500);

/// A node: its power, its links and its speaker.
#[derive(Debug)]
pub struct SimNode {
    /// Its name.
    pub name: NodeName,
    /// Its speaker, if the process runs.
    pub speaker: Option<SpeakerProcess>,
    /// When its speaker was last started.
    pub(super) started: Option<Instant>,
    /// Whether it has power.
    pub has_power: bool,
    /// Whether its speaker is stopped, as by `SIGSTOP`. Its kernel still works.
    pub frozen: bool,
    /// Until when neither its speaker nor its kernel runs.
    pub stalled_until: Option<Instant>,
    /// Its part of the LAN. Nodes in different parts do not hear each other.
    pub lan_part: u8,
    /// Its part of the node network.
    pub node_network_part: u8,
    /// Its part of the storage network.
    pub storage_part: u8,
    /// Whether everything that it sends over the LAN is lost, although it hears the others.
    pub mute: bool,
    /// Whether its LAN interface has a carrier.
    pub carrier: bool,
    /// The keys that its speaker has. Two speakers without a common one do not hear each other.
    pub keys: BTreeSet<u32>,
    /// Whether its speaker receives new snapshots from the API server.
    pub sees_api: bool,
    /// Datagrams that its speaker has sent.
    pub sent: u64,
    /// Datagrams that its speaker has received.
    pub received: u64,
    pub(super) boot: BootId,
    pub(super) sequence: u64,
    /// What arrived while the speaker was frozen.
    pub(super) pending: Vec<NodeInput>,
    /// When the speaker's timer fires.
    pub(super) timeout: Option<Instant>,
}

impl SimNode {
    /// Returns a node with power, connected to both networks, and without a speaker.
    pub(super) fn new(name: NodeName) -> Self {
        Self {
            name,
            speaker: None,
            started: None,
            has_power: true,
            frozen: false,
            stalled_until: None,
            lan_part: 0,
            node_network_part: 0,
            storage_part: 0,
            mute: false,
            carrier: true,
            keys: BTreeSet::from([0]),
            sees_api: true,
            sent: 0,
            received: 0,
            boot: BootId(10 * BOOT_STEP),
            sequence: 0,
            pending: Vec::new(),
            timeout: None,
        }
    }

    /// Whether the processes of the node make progress.
    #[must_use]
    pub fn runs(&self, now: Instant) -> bool {
        self.has_power && !self.frozen && !self.is_stalled(now)
    }

    /// Whether the whole node is stalled.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        self.stalled_until.is_some_and(|until| now < until)
    }

    /// Whether a speaker runs on the node and makes progress.
    pub(crate) fn has_running_speaker(&self, now: Instant) -> bool {
        self.speaker.is_some() && self.runs(now)
    }

    /// Whether an interface has a carrier.
    pub(super) fn has_carrier(&self, interface: SimInterface) -> bool {
        interface != SimInterface::Lan || self.carrier
    }

    /// Whether its speaker runs, and has run for long enough to own an address.
    pub(super) fn can_own(&self, now: Instant) -> bool {
        self.has_running_speaker(now) && self.started.is_some_and(|started| now >= started + START_UP)
    }

    /// Returns the part of a segment that an interface reaches, unless it reaches none.
    pub(super) fn sends_to(&self, interface: SimInterface) -> Option<u8> {
        let is_lan = matches!(interface, SimInterface::Lan | SimInterface::SecondPort);
        self.hears(interface).filter(|_| !(is_lan && self.mute))
    }

    /// Whether the speaker of another node gets the datagrams that it sends on an interface. The
    /// receiver refuses those under an unknown key. The key ring makes sure that two speakers use a
    /// common key.
    pub(super) fn reaches(&self, receiver: &Self, interface: SimInterface) -> bool {
        let part = self.sends_to(interface);
        let arrives = part.is_some() && part == receiver.hears(interface) && receiver.has_power;
        arrives && !self.keys.is_disjoint(&receiver.keys)
    }

    /// Returns the part of a segment that an interface hears, unless it hears none.
    pub(super) fn hears(&self, interface: SimInterface) -> Option<u8> {
        let part = match interface {
            SimInterface::Lan | SimInterface::SecondPort => self.lan_part,
            SimInterface::NodeNetwork => self.node_network_part,
            SimInterface::Storage => self.storage_part,
            SimInterface::Overlay => 0,
        };
        self.has_carrier(interface).then_some(part)
    }
}
