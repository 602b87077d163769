//! What a client on the LAN notices while an incident happens: gaps between answers, broken
//! connections and failed attempts to connect.

mod arp;
mod arp_client;
mod first_answer;
mod tcp;
mod udp;

use std::{
    fmt,
    net::{IpAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use anyhow::{Result, anyhow};
use lodestone_bench::packet_sockets::lan_mac;
use lodestone_tests::Netns;

pub(crate) use first_answer::{FirstAnswer, first_answer};

/// Interval between two requests of a kind.
const INTERVAL: Duration = Duration::from_millis(5);

/// Time between the first request and the incident, so that a gap has a beginning.
const LEAD: Duration = Duration::from_millis(500);

/// A number of tries, and how many of them failed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) failed: usize,
    pub(crate) total: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.failed, self.total)
    }
}

/// What a client noticed of an incident.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Disruption {
    /// The longest time between two UDP answers. Each request has its own source port.
    pub(crate) udp_gap: Duration,
    /// The longest time between two ARP answers.
    pub(crate) arp_gap: Duration,
    /// The longest run of ARP requests that were never answered in time.
    pub(crate) arp_silence: Duration,
    /// ARP requests, and those without an answer in time.
    pub(crate) arp_requests: Tally,
    /// How many MACs answered the ARP requests.
    pub(crate) macs: usize,
    /// How many connections that were open before the incident broke.
    pub(crate) broken_connections: usize,
    /// Attempts to connect.
    pub(crate) attempts: Tally,
}

impl fmt::Display for Disruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "longest gap between UDP answers {} ms, between ARP answers {} ms, \
             longest run of unanswered ARP requests {} ms, {} ARP requests unanswered, answers from {} MACs, \
             {} connections broken, {} attempts to connect failed",
            self.udp_gap.as_millis(),
            self.arp_gap.as_millis(),
            self.arp_silence.as_millis(),
            self.arp_requests,
            self.macs,
            self.broken_connections,
            self.attempts
        )
    }
}

/// A client that observes an address.
pub(crate) struct Probe<'a> {
    /// Its network namespace.
    pub(crate) client: &'a Netns,
    pub(crate) address: IpAddr,
    /// Number of connections to open before the incident.
    pub(crate) connections: usize,
    /// How long to go on after the incident.
    pub(crate) after: Duration,
}

impl Probe<'_> {
    /// Observes the address while `incident` runs.
    pub(crate) fn observe(&self, incident: impl FnOnce() -> Result<()>) -> Result<Disruption> {
        let (client, address) = (self.client, self.address);
        let stop = AtomicBool::new(false);
        let mac = lan_mac(client)?;
        let open: Vec<TcpStream> = client.within(|| (0..self.connections).map(|_| tcp::connect(address)).collect())?;
        thread::scope(|scope| {
            let stop = &stop;
            let udp = scope.spawn(|| client.within(|| udp::longest_gap(address, stop)));
            let arp = scope.spawn(|| client.within(|| arp::observe(address, mac, stop)));
            let attempts = scope.spawn(|| client.within(|| tcp::connect_repeatedly(address, stop)));
            let connections: Vec<_> = open
                .into_iter()
                .map(|stream| scope.spawn(move || tcp::breaks(stream, stop)))
                .collect();
            thread::sleep(LEAD);
            let outcome = incident();
            thread::sleep(self.after);
            stop.store(true, Ordering::Relaxed);
            let broken = connections
                .into_iter()
                .map(|thread| thread.join().unwrap_or(true))
                .filter(|broken| *broken)
                .count();
            let disruption = Disruption {
                udp_gap: join(udp)?,
                broken_connections: broken,
                attempts: join(attempts)?,
                ..join(arp)?
            };
            outcome.map(|()| disruption)
        })
    }
}

fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread of the probe panicked"))?
}
