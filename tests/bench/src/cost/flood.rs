//! ARP requests to one node at a steady pace.

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use lodestone_bench::packet_sockets::{lan_mac, open_sockets, single_thread_runtime};
use lodestone_daemon::clock;
use lodestone_speaker::wire::arp;
use lodestone_tests::Netns;
use pnet_base::MacAddr;

/// How often the client wakes up. It then sends all requests that are due.
const TICK: Duration = Duration::from_micros(500);

/// Time for the last answers to arrive.
const TAIL: Duration = Duration::from_millis(500);

/// An address for the sender of the requests.
const SENDER: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 201);

/// A client that sends ARP requests, and the node that it sends them to.
pub(crate) struct Flood {
    pub(crate) client: Netns,
    /// MAC of the node.
    pub(crate) mac: MacAddr,
    /// Requests per second.
    pub(crate) rate: u32,
    /// How long to send.
    pub(crate) time: Duration,
}

/// How many requests were sent, and how many of them answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flooded {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
}

impl Flood {
    /// Sends requests for `address`. They are unicast, like those that refresh a neighbour entry.
    pub(crate) fn send(&self, address: &str) -> Result<Flooded> {
        let target: Ipv4Addr = address.parse()?;
        let mac = lan_mac(&self.client)?;
        self.client.within(|| {
            single_thread_runtime()?.block_on(async {
                let (sockets, interface) = open_sockets(mac)?;
                let mut frame = arp::request(mac, SENDER, target);
                frame[..6].copy_from_slice(&<[u8; 6]>::from(self.mac));
                let received_before = received_packets("eth0")?;
                let (start, mut sent) = (clock::now(), 0_u64);
                while clock::now() - start < self.time {
                    let due = self.due(start);
                    while sent < due {
                        sockets.send(interface, &frame)?;
                        sent += 1;
                    }
                    thread::sleep(TICK);
                }
                thread::sleep(TAIL);
                // Other traffic is negligible, but it must not count as more answers than requests.
                let answered = (received_packets("eth0")? - received_before).min(sent);
                Ok(Flooded { sent, answered })
            })
        })
    }

    /// Returns how many requests should have been sent by now.
    fn due(&self, start: Instant) -> u64 {
        let micros = (clock::now() - start).as_micros();
        u64::try_from(micros * u128::from(self.rate) / 1_000_000).unwrap_or(u64::MAX)
    }
}

/// Returns how many packets an interface of this network namespace has received.
fn received_packets(interface: &str) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let counters = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'));
    let packets = counters.and_then(|counters| counters.split_whitespace().nth(1)?.parse().ok());
    packets.with_context(|| format!("no packet counter for {interface}"))
}
