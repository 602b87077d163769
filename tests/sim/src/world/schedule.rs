//! What will be delivered, to whom and when.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use lodestone_speaker_core::{ClusterSnapshot, InterfaceIndex, NodeName, wire::message::Datagram};

/// Something for a node or for the client.
#[derive(Clone, Debug)]
pub(super) enum Delivery {
    ToNode(usize, NodeInput),
    /// A frame.
    ToClient(Vec<u8>),
}

/// An input of a node's speaker. The node's kernel sees frames, too.
#[derive(Clone, Debug)]
pub(super) enum NodeInput {
    /// The speaker's timer fires.
    Timeout,
    /// `source` is the address of the sender.
    Datagram { source: IpAddr, datagram: Datagram },
    /// `interface` is its index.
    Frame { interface: InterfaceIndex, frame: Vec<u8> },
    /// A new snapshot from the API server.
    Snapshot(Arc<ClusterSnapshot>),
    /// ICMP port-unreachable from this node.
    PortUnreachable(NodeName),
}

/// Deliveries by time. Those of the same time keep the order in which they were scheduled.
#[derive(Debug, Default)]
pub(super) struct DeliveryQueue {
    queue: BinaryHeap<Reverse<QueuedDelivery>>,
    count: u64,
}

impl DeliveryQueue {
    pub(super) fn push(&mut self, at: Instant, delivery: Delivery) {
        self.count += 1;
        self.queue.push(Reverse(QueuedDelivery {
            at,
            number: self.count,
            delivery: Box::new(delivery),
        }));
    }

    /// Removes and returns the next delivery, unless it is due after `end`.
    pub(super) fn pop_due(&mut self, end: Instant) -> Option<(Instant, Delivery)> {
        self.queue.peek().filter(|Reverse(next)| next.at <= end)?;
        let Reverse(next) = self.queue.pop()?;
        Some((next.at, *next.delivery))
    }
}

#[derive(Debug)]
struct QueuedDelivery {
    at: Instant,
    number: u64,
    delivery: Box<Delivery>,
}

impl PartialEq for QueuedDelivery {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for QueuedDelivery {}

impl PartialOrd for QueuedDelivery {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for QueuedDelivery {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
