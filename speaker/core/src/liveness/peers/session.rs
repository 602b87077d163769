//! What is known of one other speaker since it was first heard.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    liveness::adaptive_timeout::AdaptiveTimeout,
    types::{BootId, InterfaceIndex, NodeName},
    wire::message::Network,
};

/// How long a report counts that a node is silent on some of its networks. Reporters repeat it
/// every second.
const NETWORK_REPORT_LIFETIME: Duration = Duration::from_millis(3500);

/// How long a watcher's warning counts that a node is suspect.
const SUSPICION_LIFETIME: Duration = Duration::from_millis(500);

/// The way that a message took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Path {
    /// Between the InternalIPs of the nodes.
    Node,
    /// Over a segment that this own interface is on, where that is not the node network.
    Segment(InterfaceIndex),
    /// Over a network of the peer that is not known to share a segment with this node.
    Other,
}

/// The state of a peer, as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is heard.
    Alive,
    /// A heartbeat is late, or the port is unreachable.
    Suspect,
    /// It has been silent for longer than loss explains, since then.
    Failed(Instant),
}

/// The names of the interfaces of one node, as it reports them in its hello.
pub(crate) type NetworkNames = BTreeSet<String>;

impl Phase {
    pub(crate) const fn is_failed(self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// The better of two phases of one peer, each on its own path. The peer has failed since it
    /// failed on both.
    pub(crate) fn best(self, other: Self) -> Self {
        match (self, other) {
            (Self::Failed(since), Self::Failed(other)) => Self::Failed(since.max(other)),
            (Self::Alive, _) | (_, Self::Alive) => Self::Alive,
            _ => Self::Suspect,
        }
    }

    /// The worse of the two phases. The peer has failed since it failed on one path.
    pub(crate) fn worst(self, other: Self) -> Self {
        match (self, other) {
            (Self::Failed(since), Self::Failed(other)) => Self::Failed(since.min(other)),
            (Self::Failed(since), _) | (_, Self::Failed(since)) => Self::Failed(since),
            (Self::Alive, Self::Alive) => Self::Alive,
            _ => Self::Suspect,
        }
    }
}

/// A peer that has announced its shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaving {
    /// When it said so.
    pub(crate) since: Instant,
    /// Whether others take its addresses over.
    pub(crate) handover: bool,
}

/// A node that reports another one as failed.
#[derive(Clone, Debug)]
struct FailureReport {
    since: Instant,
    /// The networks of the node on which it is silent, and when the reporter last said so. `None`:
    /// silent everywhere.
    networks: Option<(NetworkNames, Instant)>,
}

/// What is known of one other speaker since it was first heard.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Where it was last heard from on the node network.
    pub(super) address: IpAddr,
    pub(super) boot: BootId,
    /// The highest sequence number, and a bitmap of the 64 before it that have arrived. Two paths
    /// may reorder messages.
    sequence: u64,
    window: u64,
    /// When it was last heard on any path.
    pub(super) last_heard: Instant,
    /// Since when its full list of claims is missing, because it has just started.
    pub(super) awaiting_claims: Option<Instant>,
    pub(super) leaving: Option<Leaving>,
    /// All networks of its last Hello, and those of them that have carrier.
    pub(super) networks: Option<Vec<Network>>,
    pub(super) usable: Vec<Network>,
    /// The paths on which this node watches it: those on which heartbeats come.
    pub(super) paths: BTreeMap<Path, AdaptiveTimeout>,
    reports: BTreeMap<NodeName, FailureReport>,
    /// When a watcher last warned that it is suspect.
    pub(super) suspected_at: Option<Instant>,
    /// Whether its node answered "port unreachable" since it was last heard.
    pub(super) port_unreachable: bool,
    /// Since when all of its watchers have failed and nothing was heard of it.
    pub(super) unwatched: Option<Instant>,
    /// The paths on which nobody whom this node hears there watches it, and since when. It is heard
    /// on another path.
    pub(super) unwatched_on: BTreeMap<Path, Instant>,
    /// When it was last heard although nobody seemed to watch it.
    pub(super) heard_unwatched: Option<Instant>,
}

/// The phase on a path.
fn phase_by(timeout: &AdaptiveTimeout, now: Instant) -> Phase {
    let failed_from = timeout.failed_from();
    if now >= failed_from {
        Phase::Failed(failed_from)
    } else if now >= timeout.suspect_from() {
        Phase::Suspect
    } else {
        Phase::Alive
    }
}

impl Session {
    pub(super) fn new(now: Instant, address: IpAddr, boot: BootId, sequence: u64) -> Self {
        Self {
            address,
            boot,
            sequence,
            window: 0,
            last_heard: now,
            awaiting_claims: Some(now),
            leaving: None,
            networks: None,
            usable: Vec::new(),
            paths: BTreeMap::new(),
            reports: BTreeMap::new(),
            suspected_at: None,
            port_unreachable: false,
            unwatched: None,
            unwatched_on: BTreeMap::new(),
            heard_unwatched: None,
        }
    }

    /// Starts over after a restart. The networks are most likely unchanged; a Hello is on the way.
    pub(super) fn restart(&mut self, fresh: Self) {
        let before = std::mem::replace(self, fresh);
        self.networks = before.networks;
        self.usable = before.usable;
    }

    /// Records a sequence number. Returns whether it is the first message with it.
    pub(super) fn accept(&mut self, sequence: u64) -> bool {
        if let Some(ahead) = sequence.checked_sub(self.sequence).filter(|ahead| *ahead > 0) {
            let shift = u32::try_from(ahead).unwrap_or(u32::MAX);
            // The highest number until now moves into the window.
            self.window = self.window.checked_shl(shift).unwrap_or(0) | 1u64.checked_shl(shift - 1).unwrap_or(0);
            self.sequence = sequence;
            return true;
        }
        let behind = u32::try_from(self.sequence - sequence).unwrap_or(u32::MAX);
        let bit = behind
            .checked_sub(1)
            .and_then(|place| 1u64.checked_shl(place))
            .unwrap_or(0);
        let is_new = bit != 0 && self.window & bit == 0;
        self.window |= bit;
        is_new
    }

    /// Records that a message arrived: older warnings and reports no longer count.
    pub(super) fn note_heard(&mut self, now: Instant, path: Path, address: IpAddr) {
        self.last_heard = now;
        let networks = self.networks.iter().flatten();
        let mut networks = networks.filter(|network| network.addresses.iter().any(|prefix| prefix.addr() == address));
        let network = networks.next().map(|network| network.interface.clone());
        // Reports that it is silent on other networks stay valid.
        self.reports.retain(|_, report| {
            report.networks.as_mut().is_some_and(|(silent, _)| {
                silent.retain(|name| network.as_ref() != Some(name));
                !silent.is_empty()
            })
        });
        self.suspected_at = None;
        self.port_unreachable = false;
        if self.unwatched.take().is_some() {
            self.heard_unwatched = Some(now);
        }
        self.unwatched_on.remove(&path);
        if path == Path::Node {
            self.address = address;
        }
        if let Some(timeout) = self.paths.get_mut(&path) {
            timeout.note_heard(now);
        }
    }

    /// Records that `reporter` declares the node failed, on these networks or everywhere.
    pub(super) fn note_report(&mut self, now: Instant, reporter: &NodeName, networks: Option<NetworkNames>) {
        let new = FailureReport {
            since: now,
            networks: None,
        };
        let report = self.reports.entry(reporter.clone()).or_insert(new);
        report.networks = networks.map(|networks| (networks, now));
    }

    pub(super) fn remove_report(&mut self, reporter: &NodeName) {
        self.reports.remove(reporter);
    }

    /// Since when others report it as failed, everywhere or on this network.
    pub(super) fn reports(&self, now: Instant, network: Option<&str>) -> impl Iterator<Item = Instant> {
        let counts = move |report: &&FailureReport| match &report.networks {
            None => true,
            Some((silent, said)) => {
                now < *said + NETWORK_REPORT_LIFETIME && network.is_some_and(|network| silent.contains(network))
            }
        };
        self.reports.values().filter(counts).map(|report| report.since)
    }

    /// The phase on a path that this node watches.
    pub(super) fn phase_on(&self, now: Instant, path: Path) -> Option<Phase> {
        let phase = phase_by(self.paths.get(&path)?, now);
        let is_warned = phase == Phase::Alive && self.has_warning(now);
        Some(if is_warned { Phase::Suspect } else { phase })
    }

    /// The phase on all paths together: it is alive if it is alive on one. `cycle` is the period of
    /// anti-entropy: an unwatched peer that misses four is failed.
    pub(super) fn phase(&self, now: Instant, cycle: Duration) -> Phase {
        let phases = self.paths.keys().filter_map(|path| self.phase_on(now, *path));
        if let Some(phase) = phases.reduce(Phase::best) {
            return phase;
        }
        let silent = self.last_heard + cycle * 4;
        let reported = self.reports(now, None).min().or(self.unwatched);
        match reported.or_else(|| (now >= silent).then_some(silent)) {
            Some(since) => Phase::Failed(since),
            None if self.has_warning(now) => Phase::Suspect,
            None => Phase::Alive,
        }
    }

    /// The phase on one of its networks, which `path` leads to, if anything is known of it there.
    pub(super) fn network_phase(&self, now: Instant, path: Option<Path>, network: &str) -> Option<Phase> {
        let by_us = path.and_then(|path| self.phase_on(now, path));
        let by_others = || self.reports(now, Some(network)).min();
        let unwatched = || self.unwatched_on.get(&path?).copied();
        by_us.or_else(|| by_others().or_else(unwatched).map(Phase::Failed))
    }

    /// Whether others report it as failed on some of its networks.
    pub(super) fn has_network_report(&self, now: Instant) -> bool {
        let networks = self.reports.values().filter_map(|report| report.networks.as_ref());
        let mut said = networks.map(|(_, said)| *said);
        said.any(|said| now < said + NETWORK_REPORT_LIFETIME)
    }

    /// Whether its node, or a watcher, has warned since it was last heard.
    fn has_warning(&self, now: Instant) -> bool {
        self.port_unreachable
            || self
                .suspected_at
                .is_some_and(|warned| now < warned + SUSPICION_LIFETIME)
    }
}
