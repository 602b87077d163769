//! What will be delivered, to whom and when.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use lodestone_speaker::{
    core::Facts,
    wire::message::{Datagram, NodeName},
};

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
    Frame { interface: u32, frame: Vec<u8> },
    /// A new snapshot from the API server.
    Snapshot(Arc<Facts>),
    /// ICMP port-unreachable from this node.
    PortUnreachable(NodeName),
}

/// Deliveries by time. Those of the same time keep the order in which they were scheduled.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    queue: BinaryHeap<Reverse<Scheduled>>,
    count: u64,
}

impl Schedule {
    pub(super) fn push(&mut self, at: Instant, delivery: Delivery) {
        self.count += 1;
        self.queue.push(Reverse(Scheduled {
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
struct Scheduled {
    at: Instant,
    number: u64,
    delivery: Box<Delivery>,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
