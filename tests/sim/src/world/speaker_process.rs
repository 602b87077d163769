//! A speaker process: the core's state machine, driven by the simulator.
//!
//! Nothing else in the simulator calls the core, except for the outputs in `deliver.rs`.

use std::time::Instant;

use lodestone_speaker::{
    core::{Interface, Kind, Output, Settings, Speaker},
    wire::message::NodeName,
};

use super::schedule::NodeInput;

/// A running speaker.
#[derive(Debug)]
pub struct SpeakerProcess(Speaker);

impl SpeakerProcess {
    pub(super) fn start(now: Instant, node: NodeName, settings: Settings, interfaces: Vec<Interface>) -> Self {
        let mut speaker = Speaker::new(now, node, settings);
        speaker.interfaces(now, interfaces);
        Self(speaker)
    }

    /// Handles an input. Returns a frame to send at once in answer, and the interface for it.
    pub(super) fn handle(&mut self, now: Instant, input: NodeInput) -> Option<(u32, Vec<u8>)> {
        match input {
            NodeInput::Timeout => self.0.turn(now),
            NodeInput::Datagram { source, datagram } => self.0.datagram(now, source, datagram),
            NodeInput::Snapshot(snapshot) => self.0.facts(now, snapshot),
            NodeInput::PortUnreachable(node) => self.0.unreachable(now, &node),
            NodeInput::Frame { interface, frame } => {
                let answer = self.0.frame(now, interface, kind_of(&frame), &frame);
                return answer.map(|answer| (interface, answer));
            }
        }
        None
    }

    pub(super) fn handle_interfaces(&mut self, now: Instant, interfaces: Vec<Interface>) {
        self.0.interfaces(now, interfaces);
    }

    pub(super) fn begin_shutdown(&mut self, now: Instant) {
        self.0.leave(now);
    }

    /// Whether the process may exit: deputies cover all its addresses.
    #[must_use]
    pub fn may_exit(&self) -> bool {
        self.0.may_end()
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.0.poll()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.0.next_deadline()
    }

    /// Returns the speaker's state as JSON text.
    pub(crate) fn debug_state(&self, now: Instant) -> String {
        self.0.describe(now).to_string()
    }
}

/// Returns the protocol of a frame by its EtherType.
fn kind_of(frame: &[u8]) -> Kind {
    if frame.get(12) == Some(&0x86) {
        Kind::Ndp
    } else {
        Kind::Arp
    }
}
