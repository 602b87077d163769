//! The thread that owns everything urgent: the core, the sockets and the timers. Nothing on it ever waits for Kubernetes.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, thread, time::Duration};

use anyhow::{Context, Result};
use futures::FutureExt;
use lodestone_runtime::{admin::Query, clock, task::spawn};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

use crate::{
    core::{Facts, Happening, Kind, Output, Owned, Settings, Speaker, exclude::Pattern, preflight::Problem},
    metrics,
    net::{
        frames::FrameSockets,
        groups::Groups,
        links::{self, Links},
        peers::{Heard, PeerSocket},
        timer::Timer,
    },
    wire::{envelope::Key, message::NodeName},
};

/// How long a speaker that ends waits for others to take over what it owns.
const FAREWELL: Duration = Duration::from_secs(2);

/// How many messages or frames are taken in before anything else is looked at.
const BATCH: usize = 64;

/// How long an interface that could not be opened waits for the next try.
const RETRY: Duration = Duration::from_secs(1);

/// What the driver needs to start.
#[derive(Debug)]
pub struct Driver {
    /// The name of this node.
    pub node: NodeName,
    /// The UDP port of all speakers.
    pub port: u16,
    /// The key, as it is now and whenever it changes.
    pub key: watch::Receiver<Option<Key>>,
    /// What the user has chosen.
    pub settings: Settings,
    /// Interfaces that are never announced on.
    pub exclude: Vec<Pattern>,
    /// What is known from Kubernetes.
    pub facts: watch::Receiver<Option<Arc<Facts>>>,
    /// Where it is told what this node owns.
    pub owned: watch::Sender<Option<Vec<Owned>>>,
    /// Where it is told what has happened.
    pub happened: mpsc::UnboundedSender<Happening>,
    /// Where it is told what is wrong with the node.
    pub problems: watch::Sender<Option<BTreeSet<Problem>>>,
    /// Questions for `/debug/state`.
    pub questions: mpsc::Receiver<Query>,
    /// Ends the driver: others take over first.
    pub end: oneshot::Receiver<()>,
}

impl Driver {
    /// Starts the thread, and gives what its outcome comes by.
    ///
    /// # Errors
    /// When there are no threads.
    #[expect(clippy::disallowed_methods, reason = "this is the one thread beside the main one")]
    pub fn start(self) -> Result<oneshot::Receiver<Result<()>>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("no runtime")?;
        let (finished, outcome) = oneshot::channel();
        thread::spawn(move || {
            let outcome = runtime.block_on(self.run());
            // Nobody listens any more when the process is about to end.
            let _ = finished.send(outcome);
        });
        Ok(outcome)
    }

    async fn run(mut self) -> Result<()> {
        let key = wait(&mut self.key).await.context("no key")?;
        let mut peers = PeerSocket::open(self.port, key, self.node.clone(), clock::wall_nanoseconds())?;
        let (told, mut links) = watch::channel(Links::default());
        let _links = spawn(links::follow(told, std::mem::take(&mut self.exclude)));
        let mut network = Network {
            sockets: FrameSockets::default(),
            groups: Groups::start().context("no thread")?,
        };
        let mut buffer = FrameSockets::buffer();
        let mut timer = Timer::open().context("no timer")?;
        let mut core = Speaker::new(clock::now(), self.node.clone(), self.settings);
        let (mut farewell, mut retry): (Option<Instant>, Option<Instant>) = (None, None);
        loop {
            // Before anything else: the timers do not wait behind whatever else is ready.
            let now = clock::now();
            if core.next_deadline().is_some_and(|due| due <= now) {
                core.turn(now);
            }
            while let Some(output) = core.poll() {
                self.act(output, &mut network, &mut peers);
            }
            if farewell.is_some() && core.may_end() {
                return Ok(());
            }
            timer.set(clock::now(), core.next_deadline());
            tokio::select! {
                () = timer.due() => {}
                (interface, kind, length) = network.sockets.receive(&mut buffer) => {
                    network.answer(&mut core, interface, kind, buffer.get(..length).unwrap_or_default());
                    for _ in 0..BATCH {
                        let Some((interface, kind, length)) = network.sockets.receive(&mut buffer).now_or_never() else { break };
                        network.answer(&mut core, interface, kind, buffer.get(..length).unwrap_or_default());
                    }
                }
                heard = peers.receive() => {
                    hear(&mut core, heard);
                    // What has come with it is taken in before anything is decided; a flood is not.
                    for _ in 0..BATCH {
                        let Some(heard) = peers.receive().now_or_never() else { break };
                        hear(&mut core, heard);
                    }
                }
                Ok(()) = links.changed() => retry = network.follow(&mut links, &mut core),
                () = sleep_until(retry.unwrap_or_else(far)), if retry.is_some() => {
                    retry = network.follow(&mut links, &mut core);
                }
                Ok(()) = self.facts.changed() => {
                    let facts = self.facts.borrow_and_update().clone();
                    if let Some(facts) = facts {
                        core.facts(clock::now(), facts);
                    }
                }
                Ok(()) = self.key.changed() => {
                    if let Some(key) = self.key.borrow_and_update().clone() {
                        tracing::info!("the key of the speakers' messages has changed");
                        peers.set_key(key);
                    }
                }
                Some(question) = self.questions.recv() => {
                    // Whoever asked may have gone.
                    match question {
                        Query::State(answer) => { let _ = answer.send(core.describe(clock::now())); }
                        Query::Metrics(answer) => { let _ = answer.send(metrics::text(&core, peers.refused(), clock::now())); }
                    }
                }
                _ = &mut self.end, if farewell.is_none() => {
                    core.leave(clock::now());
                    farewell = Some(Instant::from_std(clock::now() + FAREWELL));
                }
                () = sleep_until(farewell.unwrap_or_else(far)), if farewell.is_some() => return Ok(()),
            }
        }
    }

    fn act(&self, output: Output, network: &mut Network, peers: &mut PeerSocket) {
        match output {
            Output::Send { to, address, message } => peers.send(to, address, message),
            Output::Boot(boot) => peers.raise_boot(boot),
            Output::Frame { interface, frame } => network.send(interface, &frame),
            Output::Groups(groups) => network.groups.follow(groups),
            Output::Happening(happening) => {
                match happening {
                    Happening::StandsIn { .. } => tracing::debug!("{happening}"),
                    _ => tracing::info!("{happening}"),
                }
                // Whoever was told has gone when the process is about to end.
                let _ = self.happened.send(happening);
            }
            Output::Problems(problems) => {
                for problem in &problems {
                    tracing::warn!("{problem}");
                }
                self.problems.send_replace(Some(problems));
            }
            Output::Ownership(owned) => {
                let addresses: Vec<IpAddr> = owned.iter().map(|owned| owned.address).collect();
                tracing::info!(?addresses, "this node announces");
                self.owned.send_replace(Some(owned));
            }
        }
    }
}

/// The LAN, as far as this node is on it.
struct Network {
    sockets: FrameSockets,
    groups: Groups,
}

impl Network {
    fn answer(&self, core: &mut Speaker, interface: u32, kind: Kind, frame: &[u8]) {
        if let Some(reply) = core.frame(clock::now(), interface, kind, frame) {
            self.send(interface, &reply);
        }
    }

    fn send(&self, interface: u32, frame: &[u8]) {
        if let Err(error) = self.sockets.send(interface, frame) {
            // The interface went down or away: the links are about to tell.
            tracing::debug!(interface, %error, "a frame could not be sent");
        }
    }

    /// Takes in the interfaces as they are. Those that can't be announced on are not the core's to count on; gives back when to try them
    /// again.
    fn follow(&mut self, links: &mut watch::Receiver<Links>, core: &mut Speaker) -> Option<Instant> {
        let Links { mut interfaces, kernel } = links.borrow_and_update().clone();
        let failed = self.sockets.follow(&interfaces);
        interfaces.retain(|interface| !failed.contains(&interface.index));
        core.interfaces(clock::now(), interfaces);
        core.kernel(clock::now(), kernel);
        (!failed.is_empty()).then(|| Instant::from_std(clock::now() + RETRY))
    }
}

fn hear(core: &mut Speaker, heard: Heard) {
    match heard {
        Heard::Datagram(source, datagram) => core.datagram(clock::now(), source, datagram),
        Heard::Unreachable(node) => core.unreachable(clock::now(), &node),
        Heard::Refused => {}
    }
}

/// A time that a timer which is switched off is set to.
fn far() -> Instant {
    Instant::from_std(clock::now() + Duration::from_secs(3600))
}

async fn wait<T: Clone>(receiver: &mut watch::Receiver<Option<T>>) -> Result<T> {
    let value = receiver.wait_for(Option::is_some).await?;
    value.clone().context("there is a value: it was waited for")
}
