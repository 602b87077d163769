//! What is known of one other speaker since it was first heard.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    liveness::adaptive_timeout::AdaptiveTimeout,
    types::{BootId, NodeName},
    wire::message::Network,
};

/// How long a report counts that a node is silent on its LAN only. Reporters repeat it every
/// second.
const LAN_REPORT_LIFETIME: Duration = Duration::from_millis(3500);

/// How long a watcher's warning counts that a node is suspect.
const SUSPICION_LIFETIME: Duration = Duration::from_millis(500);

/// The way that a message took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Between the InternalIPs of the nodes.
    Node,
    /// Over a network that addresses are announced on, where that is not the node network.
    Lan,
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

impl Phase {
    pub(crate) const fn is_failed(self) -> bool {
        matches!(self, Self::Failed(_))
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
#[derive(Clone, Copy, Debug)]
struct FailureReport {
    since: Instant,
    /// When the reporter last said that the node is silent on its LAN only; `None`: silent
    /// everywhere.
    lan_only: Option<Instant>,
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
    pub(super) connected: Vec<Network>,
    pub(in crate::liveness) node: WatchedPath,
    pub(in crate::liveness) lan: WatchedPath,
    reports: BTreeMap<NodeName, FailureReport>,
    /// When a watcher last warned that it is suspect.
    pub(super) suspected_at: Option<Instant>,
    /// Whether its node answered "port unreachable" since it was last heard.
    pub(super) port_unreachable: bool,
    /// Since when all of its watchers have failed and nothing was heard of it.
    pub(super) unwatched: Option<Instant>,
    /// When it was last heard although nobody seemed to watch it.
    pub(super) heard_unwatched: Option<Instant>,
}

/// A path that this node watches, if it expects heartbeats there.
#[derive(Clone, Debug)]
pub(crate) struct WatchedPath {
    pub(super) timeout: AdaptiveTimeout,
    pub(in crate::liveness) expected: bool,
}

impl WatchedPath {
    fn new(now: Instant) -> Self {
        Self {
            timeout: AdaptiveTimeout::new(now),
            expected: false,
        }
    }

    pub(super) fn phase(&self, now: Instant) -> Phase {
        let failed_from = self.timeout.failed_from();
        if now >= failed_from {
            Phase::Failed(failed_from)
        } else if now >= self.timeout.suspect_from() {
            Phase::Suspect
        } else {
            Phase::Alive
        }
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
            connected: Vec::new(),
            node: WatchedPath::new(now),
            lan: WatchedPath::new(now),
            reports: BTreeMap::new(),
            suspected_at: None,
            port_unreachable: false,
            unwatched: None,
            heard_unwatched: None,
        }
    }

    /// Starts over after a restart. The networks are most likely unchanged; a Hello is on the way.
    pub(super) fn restart(&mut self, fresh: Self) {
        let before = std::mem::replace(self, fresh);
        self.networks = before.networks;
        self.connected = before.connected;
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
        // Reports that it is silent on its LAN stay valid when it was heard on the node network.
        self.reports
            .retain(|_, report| path == Path::Node && report.lan_only.is_some());
        self.suspected_at = None;
        self.port_unreachable = false;
        if self.unwatched.take().is_some() {
            self.heard_unwatched = Some(now);
        }
        match path {
            Path::Node => {
                self.address = address;
                self.node.timeout.note_heard(now);
            }
            Path::Lan => self.lan.timeout.note_heard(now),
        }
    }

    pub(super) fn note_report(&mut self, now: Instant, reporter: &NodeName, lan_only: bool) {
        let new = FailureReport {
            since: now,
            lan_only: None,
        };
        let report = self.reports.entry(reporter.clone()).or_insert(new);
        report.lan_only = lan_only.then_some(now);
    }

    pub(super) fn remove_report(&mut self, reporter: &NodeName) {
        self.reports.remove(reporter);
    }

    /// Since when others report it as failed.
    pub(super) fn reports(&self, now: Instant) -> impl Iterator<Item = Instant> {
        let is_valid = move |said: &Instant| now < *said + LAN_REPORT_LIFETIME;
        let reports = self.reports.values();
        reports
            .filter(move |report| report.lan_only.as_ref().is_none_or(is_valid))
            .map(|report| report.since)
    }

    /// The path that decides: the LAN where heartbeats come over it, otherwise the node network.
    pub(super) const fn decisive_path(&self) -> &WatchedPath {
        if self.lan.expected { &self.lan } else { &self.node }
    }

    /// `cycle` is the period of anti-entropy: an unwatched peer that misses four is failed.
    pub(super) fn phase(&self, now: Instant, cycle: Duration) -> Phase {
        let path = self.decisive_path();
        if path.expected {
            return match path.phase(now) {
                Phase::Alive if self.has_warning(now) => Phase::Suspect,
                phase => phase,
            };
        }
        let silent = self.last_heard + cycle * 4;
        let reported = self.reports(now).min().or(self.unwatched);
        match reported.or_else(|| (now >= silent).then_some(silent)) {
            Some(since) => Phase::Failed(since),
            None if self.has_warning(now) => Phase::Suspect,
            None => Phase::Alive,
        }
    }

    /// Whether its node, or a watcher, has warned since it was last heard.
    fn has_warning(&self, now: Instant) -> bool {
        self.port_unreachable
            || self
                .suspected_at
                .is_some_and(|warned| now < warned + SUSPICION_LIFETIME)
    }

    /// Whether it is heard on any path.
    pub(super) fn is_heard(&self, now: Instant, cycle: Duration) -> bool {
        let on_node_network = self.node.expected && !self.node.phase(now).is_failed();
        on_node_network || !self.phase(now, cycle).is_failed()
    }
}
