//! A speaker process: the core's state machine, driven by the simulator.
//!
//! Nothing else in the simulator calls the core, except for the outputs in `deliver.rs`.

use std::{net::IpAddr, time::Instant};

use lodestone_speaker_core::{FrameKind, Interface, InterfaceIndex, NodeName, Output, Settings, Speaker};
use pnet_base::MacAddr;

use super::schedule::NodeInput;

/// A running speaker.
#[derive(Debug)]
pub struct SpeakerProcess(Speaker);

impl SpeakerProcess {
    pub(super) fn start(now: Instant, node: NodeName, settings: Settings, interfaces: Vec<Interface>) -> Self {
        let mut speaker = Speaker::new(now, node, settings);
        speaker.handle_interfaces(now, interfaces);
        Self(speaker)
    }

    /// Handles an input. Returns a frame to send at once in answer, and the interface for it.
    pub(super) fn handle(&mut self, now: Instant, input: NodeInput) -> Option<(InterfaceIndex, Vec<u8>)> {
        match input {
            NodeInput::Timeout => self.0.handle_timeout(now),
            NodeInput::Datagram { source, datagram } => self.0.handle_datagram(now, source, datagram),
            NodeInput::Snapshot(snapshot) => self.0.handle_snapshot(now, snapshot),
            NodeInput::PortUnreachable(node) => self.0.handle_port_unreachable(now, &node),
            NodeInput::Frame { interface, frame } => {
                let answer = self.0.handle_frame(now, interface, kind_of(&frame), &frame);
                return answer.map(|answer| (interface, answer));
            }
        }
        None
    }

    pub(super) fn handle_interfaces(&mut self, now: Instant, interfaces: Vec<Interface>) {
        self.0.handle_interfaces(now, interfaces);
    }

    pub(super) fn begin_shutdown(&mut self, now: Instant) {
        self.0.begin_shutdown(now);
    }

    /// Whether the process may stop: deputies cover all its addresses.
    #[must_use]
    pub fn may_stop(&self) -> bool {
        self.0.may_stop()
    }

    /// Returns the MAC that the speaker would answer a request with. It does not notice.
    pub(super) fn answer_for(&self, interface: InterfaceIndex, address: IpAddr) -> Option<MacAddr> {
        self.0.answer_for(interface, address)
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.0.poll_output()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.0.next_timeout()
    }

    /// Returns the speaker's state as JSON text.
    pub(crate) fn debug_state(&self, now: Instant) -> String {
        serde_json::to_string(&self.0.debug_state(now)).unwrap_or_default()
    }
}

/// Returns the protocol of a frame by its EtherType.
fn kind_of(frame: &[u8]) -> FrameKind {
    if frame.get(12) == Some(&0x86) {
        FrameKind::Ndp
    } else {
        FrameKind::Arp
    }
}
