//! Hands a delivery to its node, and carries out what the node's speaker wants.

use std::{net::IpAddr, time::Duration};

use lodestone_speaker_core::{
    NodeName, Output, OwnedAddress,
    wire::message::{Datagram, Message},
};
use rand::RngExt;
use serde_json::json;

use super::{
    Observed, World,
    network::{SimInterface, address_on},
    schedule::{Delivery, NodeInput},
};

/// How long an ICMP port-unreachable takes.
const ICMP_LATENCY: Duration = Duration::from_micros(200);

/// A process runs at most this many microseconds after its timer is due.
const SCHEDULING_DELAY: u64 = 1000;

/// How many inputs the socket queues of a frozen speaker hold.
const QUEUE_LENGTH: usize = 500;

impl World {
    pub(super) fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::ToNode(index, input) => self.deliver_to_node(index, input),
            Delivery::ToClient(frame) => self.client_receives(&frame),
        }
    }

    fn deliver_to_node(&mut self, index: usize, input: NodeInput) {
        let now = self.now;
        let node = &mut self.nodes[index];
        if !node.has_power {
            return;
        }
        let is_timeout = matches!(input, NodeInput::Timeout);
        if is_timeout && node.timeout.is_some_and(|timeout| timeout != now) {
            // The speaker has set its timer to another time since.
            return;
        }
        if let Some(until) = node.stalled_until.filter(|_| node.is_stalled(now)) {
            if is_timeout {
                node.timeout = Some(until);
            }
            return self.schedule.push(until, Delivery::ToNode(index, input));
        }
        // The kernel answers for the node's own addresses, whatever state the speaker is in.
        if let NodeInput::Frame { interface, frame } = &input {
            self.kernel_receives(index, *interface, frame);
        }
        let node = &mut self.nodes[index];
        if is_timeout {
            node.timeout = None;
        }
        if !node.frozen {
            self.deliver_to_speaker(index, input);
        } else if !is_timeout && node.pending.len() < QUEUE_LENGTH {
            node.pending.push(input);
        }
    }

    fn deliver_to_speaker(&mut self, index: usize, input: NodeInput) {
        let node = &mut self.nodes[index];
        let is_lost = match &input {
            NodeInput::Frame { interface, .. } => !node.has_carrier(SimInterface::of_index(*interface)),
            _ => false,
        };
        let Some(speaker) = &mut node.speaker else {
            return self.reject(input);
        };
        node.received += u64::from(matches!(input, NodeInput::Datagram { .. }));
        let answer = if is_lost { None } else { speaker.handle(self.now, input) };
        if let Some((interface, frame)) = answer {
            self.send_frame(index, interface, frame);
        }
        self.carry_out_outputs(index);
    }

    /// No process listens on the node: its kernel answers a heartbeat with port-unreachable.
    fn reject(&mut self, input: NodeInput) {
        if let NodeInput::Datagram { datagram, .. } = input
            && datagram.message == Message::Heartbeat
            && let Some(sender) = self.index_of(&datagram.from)
        {
            let answer = NodeInput::PortUnreachable(datagram.to);
            self.schedule
                .push(self.now + ICMP_LATENCY, Delivery::ToNode(sender, answer));
        }
    }

    /// Carries out all outputs of a node's speaker, and sets its timer.
    pub(super) fn carry_out_outputs(&mut self, index: usize) {
        while let Some(speaker) = &mut self.nodes[index].speaker
            && let Some(output) = speaker.poll_output()
        {
            match output {
                Output::Send { to, address, message } => self.send_datagram(index, &to, address, message),
                Output::Frame { interface, frame } => self.send_frame(index, interface, frame),
                Output::SendHeartbeat { to, address } => self.send_datagram(index, &to, address, Message::Heartbeat),
                Output::BootId(boot) => self.nodes[index].boot = boot.next(),
                Output::Event(event) => self.observed.push(Observed {
                    at: self.now,
                    node: index,
                    event,
                }),
                Output::OwnedAddresses(announced) => self.write_statuses(index, announced),
                Output::Groups(_) | Output::Problems(_) => {}
            }
        }
        self.set_timer(index);
    }

    /// Writes the ServiceL2Status of the Services that a node announces.
    fn write_statuses(&mut self, index: usize, announced: Vec<OwnedAddress>) {
        for service in announced.into_iter().flat_map(|owned| owned.services) {
            let node = self.nodes[index].name.clone();
            self.statuses.insert(service, [node].into());
        }
    }

    fn set_timer(&mut self, index: usize) {
        let node = &self.nodes[index];
        let next = node.speaker.as_ref().and_then(|speaker| speaker.next_timeout());
        if let Some(due) = next.map(|due| due.max(self.now))
            && node.timeout.is_none_or(|timeout| due < timeout || timeout < self.now)
        {
            let due = due + Duration::from_micros(self.random.random_range(0..SCHEDULING_DELAY));
            self.nodes[index].timeout = Some(due);
            self.schedule.push(due, Delivery::ToNode(index, NodeInput::Timeout));
        }
    }

    fn send_datagram(&mut self, index: usize, to: &NodeName, address: IpAddr, message: Message) {
        let Some(target) = self.index_of(to) else { return };
        let interface = if address == address_on(target, SimInterface::Storage) {
            SimInterface::Storage
        } else if !self.spec.split || address == address_on(target, SimInterface::Lan) {
            SimInterface::Lan
        } else {
            SimInterface::NodeNetwork
        };
        let node = &mut self.nodes[index];
        node.sequence += 1;
        node.sent += 1;
        let datagram = Datagram {
            from: node.name.clone(),
            to: to.clone(),
            boot: node.boot,
            sequence: node.sequence,
            message,
        };
        self.write_record(
            "datagram",
            index,
            || json!({"to": to.as_str(), "lan": interface == SimInterface::Lan, "message": format!("{:?}", datagram.message)}),
        );
        let (sender, receiver) = (&self.nodes[index], &self.nodes[target]);
        if !sender.reaches(receiver, interface) {
            return;
        }
        // The older one of two speakers neither sends nor understands it.
        let is_new = matches!(datagram.message, Message::Offer(_));
        if is_new && index.min(target) < self.spec.older {
            return;
        }
        let source = address_on(index, interface);
        for latency in self.arrivals(interface.segment()) {
            let datagram = datagram.clone();
            let input = NodeInput::Datagram { source, datagram };
            self.schedule.push(self.now + latency, Delivery::ToNode(target, input));
        }
    }
}
