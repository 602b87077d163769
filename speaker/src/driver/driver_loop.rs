//! The running driver: waits for an event, passes it to the core, and carries out the outputs.

use std::{
    future::pending,
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures::FutureExt;
use lodestone_runtime::{
    admin::Query,
    clock,
    task::{Task, spawn},
};
use lodestone_speaker_core::{BootId, Event, Output, Speaker};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep_until,
};

use super::{
    driver_event::DriverEvent,
    lan_sockets::{BufferedFrame, LanSockets},
    parts::DriverParts,
};
use crate::{
    channels::DriverChannels,
    metrics::{self, ShellCounters},
    net::{
        netlink::{self, Links},
        peer_socket::{PeerSocket, Received},
        timerfd::DeadlineTimer,
    },
};

/// How long a speaker that shuts down waits for other speakers to cover its addresses.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// How many more frames or messages are read after the first one, before other events have their
/// turn.
const BATCH: usize = 64;

/// The running driver. All its state is in these fields.
#[derive(Debug)]
pub(super) struct DriverLoop {
    core: Speaker,
    peers: PeerSocket,
    lan: LanSockets,
    timer: DeadlineTimer,
    links: watch::Receiver<Links>,
    channels: DriverChannels,
    queries: mpsc::Receiver<Query>,
    shutdown_requested: oneshot::Receiver<()>,
    /// When to open failed interfaces again; `None` if none has failed.
    retry_at: Option<Instant>,
    /// When to stop in any case; `None` until a shutdown is requested.
    shutdown_deadline: Option<Instant>,
    _links_task: Task,
}

impl DriverLoop {
    /// Waits for the first key, and then opens the sockets.
    ///
    /// # Errors
    /// When a socket, a timer or a thread cannot be created.
    pub(super) async fn open(parts: DriverParts, shutdown_requested: oneshot::Receiver<()>) -> Result<Self> {
        let DriverParts {
            node,
            port,
            settings,
            exclude,
            mut channels,
            queries,
        } = parts;
        let key = channels
            .keys
            .wait_for(Option::is_some)
            .await
            .context("the task that watches the peer Secret has ended")?
            .clone();
        let key = key.context("the peer Secret holds no key")?;
        // The boot id must grow with each start. The wall clock does, unless somebody sets it back.
        let peers = PeerSocket::open(port, key, node.clone(), BootId(clock::wall_nanoseconds()))?;
        let (links_sender, links) = watch::channel(Links::default());
        let links_task = spawn(netlink::follow(links_sender, exclude));
        let lan = LanSockets::start().context("cannot start the thread for multicast groups")?;
        let timer = DeadlineTimer::open().context("cannot create a timer")?;
        Ok(Self {
            core: Speaker::new(clock::now(), node, settings),
            peers,
            lan,
            timer,
            links,
            channels,
            queries,
            shutdown_requested,
            retry_at: None,
            shutdown_deadline: None,
            _links_task: links_task,
        })
    }

    /// Runs until a requested shutdown is complete.
    pub(super) async fn run(mut self) {
        loop {
            // Timers go first in each iteration, so that a flood of other events does not delay
            // them.
            self.handle_timeout();
            self.flush();
            if self.shutdown_deadline.is_some() && self.core.may_stop() {
                return;
            }
            self.timer.set(clock::now(), self.core.next_timeout());
            let event = self.next_event().await;
            if matches!(event, DriverEvent::ShutdownTimedOut) {
                return;
            }
            self.handle(event);
        }
    }

    /// Waits for the next event.
    ///
    /// Each future that loses the race is dropped, so each must be cancel safe. The timer, the
    /// sockets and the channels keep their state outside of the future: it takes nothing before it
    /// returns. The two deadlines are fields, and a new future is made for them each time.
    async fn next_event(&mut self) -> DriverEvent {
        tokio::select! {
            () = self.timer.due() => DriverEvent::TimeoutDue,
            frame = self.lan.receive() => DriverEvent::Frame(frame),
            received = self.peers.receive() => DriverEvent::Peer(received),
            // A channel whose sender is gone does not match, which disables its branch.
            Ok(()) = self.links.changed() => DriverEvent::LinksChanged,
            Ok(()) = self.channels.snapshots.changed() => DriverEvent::SnapshotChanged,
            Ok(()) = self.channels.keys.changed() => DriverEvent::KeyChanged,
            Some(query) = self.queries.recv() => DriverEvent::Query(query),
            // A oneshot channel must not be polled again after it has returned.
            _ = &mut self.shutdown_requested, if self.shutdown_deadline.is_none() => DriverEvent::ShutdownRequested,
            () = reached(self.retry_at) => DriverEvent::RetryDue,
            () = reached(self.shutdown_deadline) => DriverEvent::ShutdownTimedOut,
        }
    }

    fn handle(&mut self, event: DriverEvent) {
        match event {
            // The loop handles the timeout before anything else, and ends at the deadline.
            DriverEvent::TimeoutDue | DriverEvent::ShutdownTimedOut => {}
            DriverEvent::Frame(frame) => self.handle_frames(frame),
            DriverEvent::Peer(received) => self.handle_messages(received),
            DriverEvent::LinksChanged | DriverEvent::RetryDue => {
                let links = self.links.borrow_and_update().clone();
                self.retry_at = self.lan.handle_interfaces(&mut self.core, links);
            }
            DriverEvent::SnapshotChanged => {
                let snapshot = self.channels.snapshots.borrow_and_update().clone();
                if let Some(snapshot) = snapshot {
                    self.core.handle_snapshot(clock::now(), snapshot);
                }
            }
            DriverEvent::KeyChanged => {
                let key = self.channels.keys.borrow_and_update().clone();
                if let Some(key) = key {
                    tracing::info!("speaker key changed");
                    self.peers.set_key(key);
                }
            }
            DriverEvent::Query(query) => self.answer(query),
            DriverEvent::ShutdownRequested => {
                self.core.begin_shutdown(clock::now());
                self.shutdown_deadline = Some(clock::now() + SHUTDOWN_TIMEOUT);
            }
        }
    }

    /// Runs what is due in the core.
    fn handle_timeout(&mut self) {
        let now = clock::now();
        if self.core.next_timeout().is_some_and(|due| due <= now) {
            self.core.handle_timeout(now);
        }
    }

    /// Answers a frame and those that arrived with it, up to a batch.
    fn handle_frames(&mut self, first: BufferedFrame) {
        self.lan.answer(&mut self.core, first);
        for _ in 0..BATCH {
            let Some(frame) = self.lan.try_receive() else { break };
            self.lan.answer(&mut self.core, frame);
        }
    }

    /// Passes a message and those that arrived with it to the core, up to a batch. The core decides
    /// only after the batch, but a flood does not keep it from deciding.
    fn handle_messages(&mut self, first: Received) {
        self.handle_received(first);
        for _ in 0..BATCH {
            let Some(received) = self.peers.receive().now_or_never() else {
                break;
            };
            self.handle_received(received);
        }
    }

    fn handle_received(&mut self, received: Received) {
        match received {
            Received::Datagram(source, datagram) => self.core.handle_datagram(clock::now(), source, datagram),
            Received::PortUnreachable(node) => self.core.handle_port_unreachable(clock::now(), &node),
            Received::Refused => {}
        }
    }

    fn answer(&mut self, query: Query) {
        // The client may have given up; then the answer is dropped.
        match query {
            Query::State(response) => {
                let state = serde_json::to_value(self.core.debug_state(clock::now()));
                let _ = response.send(state.unwrap_or_default());
            }
            Query::Metrics(response) => {
                let shell = ShellCounters {
                    refused: self.peers.refused_count(),
                    dropped_frames: self.lan.count_dropped(),
                };
                let text = metrics::text(&self.core, &shell, clock::now());
                let _ = response.send(text);
            }
        }
    }

    /// Carries out everything that the core wants.
    fn flush(&mut self) {
        while let Some(output) = self.core.poll_output() {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::SendHeartbeat { to, address } => self.peers.send_heartbeat(to, address),
            Output::Send { to, address, message } => self.peers.send(to, address, message),
            Output::BootId(boot) => self.peers.raise_boot(boot),
            Output::Frame { interface, frame } => self.lan.send(interface, &frame),
            Output::Groups(groups) => self.lan.set_groups(groups),
            Output::Event(event) => {
                match event {
                    Event::DeputyChanged { .. } => tracing::debug!("{event}"),
                    _ => tracing::info!("{event}"),
                }
                self.channels.user_events.send(event);
            }
            Output::Problems(problems) => {
                for problem in &problems {
                    tracing::warn!("{problem}");
                }
                self.channels.problems.send_replace(Some(problems));
            }
            Output::OwnedAddresses(owned) => {
                let addresses: Vec<IpAddr> = owned.iter().map(|owned| owned.address).collect();
                tracing::info!(?addresses, "announced addresses changed");
                self.channels.owned.send_replace(Some(owned));
            }
        }
    }
}

/// Waits until `deadline`; forever if there is none.
async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => pending().await,
    }
}
