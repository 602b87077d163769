//! The channels between the driver's thread and the tasks on the main thread.
//!
//! | Channel | From | To | If the receiver is slow |
//! |---|---|---|---|
//! | `keys` | `peer_key` | driver | it sees the latest value only |
//! | `snapshots` | `watcher` | driver, `configuration_state` | it sees the latest value only |
//! | `owned` | driver | `service_l2_status`, readiness | it sees the latest value only |
//! | `problems` | driver | `configuration_state`, `node_events` | it sees the latest value only |
//! | `user_events` | driver | `events` | events are dropped and counted |
//!
//! No channel ever blocks the driver's thread.

use std::{collections::BTreeSet, sync::Arc};

use lodestone_speaker_core::{ClusterSnapshot, Event, NodeProblem, OwnedAddress, wire::envelope::Key};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    watch,
};

/// How many user events may wait. A node that takes over thousands of addresses at once sends one
/// event for each, before the main thread can run.
const USER_EVENT_QUEUE: usize = 4096;

/// The driver's ends.
#[derive(Debug)]
pub(crate) struct DriverChannels {
    /// The key that seals messages between speakers; `None` until the Secret has one.
    pub(crate) keys: watch::Receiver<Option<Key>>,
    /// What is known from Kubernetes; `None` until all watches have synced.
    pub(crate) snapshots: watch::Receiver<Option<Arc<ClusterSnapshot>>>,
    /// All addresses that this node announces; `None` until the core takes part in the election.
    pub(crate) owned: watch::Sender<Option<Vec<OwnedAddress>>>,
    /// All problems of this node; `None` until the first preflight.
    pub(crate) problems: watch::Sender<Option<BTreeSet<NodeProblem>>>,
    /// Events that users should see.
    pub(crate) user_events: UserEventSender,
}

/// The other ends, for the tasks on the main thread. The fields are those of [`DriverChannels`].
#[derive(Debug)]
pub(crate) struct TaskChannels {
    pub(crate) keys: watch::Sender<Option<Key>>,
    pub(crate) snapshots: watch::Sender<Option<Arc<ClusterSnapshot>>>,
    pub(crate) owned: watch::Receiver<Option<Vec<OwnedAddress>>>,
    pub(crate) problems: watch::Receiver<Option<BTreeSet<NodeProblem>>>,
    pub(crate) user_events: mpsc::Receiver<Event>,
}

/// Creates all channels.
pub(crate) fn channels() -> (DriverChannels, TaskChannels) {
    let (key_sender, keys) = watch::channel(None);
    let (snapshot_sender, snapshots) = watch::channel(None);
    let (owned, owned_receiver) = watch::channel(None);
    let (problems, problem_receiver) = watch::channel(None);
    let (user_events, user_event_receiver) = UserEventSender::channel(USER_EVENT_QUEUE);
    let driver = DriverChannels {
        keys,
        snapshots,
        owned,
        problems,
        user_events,
    };
    let tasks = TaskChannels {
        keys: key_sender,
        snapshots: snapshot_sender,
        owned: owned_receiver,
        problems: problem_receiver,
        user_events: user_event_receiver,
    };
    (driver, tasks)
}

/// The sending end of the user events.
///
/// The queue is bounded, because the main thread may be stopped for longer than the driver's. When
/// the queue is full, further events are dropped and counted: an event is a courtesy, and the log
/// has the same text. One log line tells when dropping begins, and one when it ends.
#[derive(Debug)]
pub(crate) struct UserEventSender {
    queue: mpsc::Sender<Event>,
    /// Events dropped since the queue became full; 0 while events get through.
    dropped: u64,
}

impl UserEventSender {
    fn channel(capacity: usize) -> (Self, mpsc::Receiver<Event>) {
        let (queue, receiver) = mpsc::channel(capacity);
        (Self { queue, dropped: 0 }, receiver)
    }

    /// Queues an event, or drops it if the queue is full. Never waits.
    pub(crate) fn send(&mut self, event: Event) {
        match self.queue.try_send(event) {
            Ok(()) => {
                let dropped = std::mem::take(&mut self.dropped);
                if dropped > 0 {
                    tracing::info!(dropped, "the queue of user events has room again");
                }
            }
            Err(TrySendError::Full(_)) => {
                if self.dropped == 0 {
                    tracing::warn!("dropping user events: the queue is full");
                }
                self.dropped = self.dropped.saturating_add(1);
            }
            // The receiver is dropped only when the process shuts down.
            Err(TrySendError::Closed(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(node: &str) -> Event {
        Event::PeerPhaseChanged {
            node: node.into(),
            failed: true,
        }
    }

    #[test]
    fn user_events_are_dropped_and_counted_while_the_queue_is_full() {
        let (mut sender, mut receiver) = UserEventSender::channel(1);
        for node in ["a", "b", "c"] {
            sender.send(event(node));
        }
        assert_eq!(sender.dropped, 2);
        assert_eq!(receiver.try_recv(), Ok(event("a")));
        sender.send(event("d"));
        assert_eq!(sender.dropped, 0);
        assert_eq!(receiver.try_recv(), Ok(event("d")));
        drop(receiver);
        sender.send(event("e"));
        assert_eq!(sender.dropped, 0, "a closed queue does not count");
    }
}
