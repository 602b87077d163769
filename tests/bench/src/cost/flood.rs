//! ARP requests at a steady pace to one node, and the least that can answer them.

use std::{
    net::Ipv4Addr,
    os::fd::AsFd,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use lodestone_daemon::clock;
use lodestone_speaker::wire::arp;
use lodestone_tests::Netns;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    time::{ClockId, clock_gettime},
};
use pnet_base::MacAddr;

use lodestone_bench::packet_sockets::{mac, runtime, sockets};

/// How often requests go out, as many as are due.
const TICK: Duration = Duration::from_micros(500);

/// A client that asks all the time.
pub(crate) struct Flood {
    pub(crate) client: Netns,
    /// The node that is asked.
    pub(crate) mac: MacAddr,
    /// Requests a second.
    pub(crate) rate: u32,
    /// For how long.
    pub(crate) time: Duration,
}

impl Flood {
    /// Asks for an address, of one host, as one does that has known it before; gives how often it has asked, and how many answers came.
    pub(crate) fn send(&self, address: &str) -> Result<(u64, u64)> {
        let target: Ipv4Addr = address.parse()?;
        let mac = mac(&self.client)?;
        self.client.within(|| {
            runtime()?.block_on(async {
                let (sockets, index) = sockets(mac)?;
                let mut frame = arp::request(mac, Ipv4Addr::new(192, 168, 122, 201), target);
                frame[..6].copy_from_slice(&<[u8; 6]>::from(self.mac));
                let before = received("eth0")?;
                let (began, mut sent) = (clock::now(), 0_u64);
                while clock::now() - began < self.time {
                    let due = self.due(began);
                    while sent < due {
                        sockets.send(index, &frame)?;
                        sent += 1;
                    }
                    thread::sleep(TICK);
                }
                // The last answers are on their way.
                thread::sleep(Duration::from_millis(500));
                Ok((sent, (received("eth0")? - before).min(sent)))
            })
        })
    }

    fn due(&self, began: Instant) -> u64 {
        let micros = (clock::now() - began).as_micros();
        u64::try_from(micros * u128::from(self.rate) / 1_000_000).unwrap_or(u64::MAX)
    }
}

/// What a bare loop has used.
pub(crate) struct Bare {
    pub(crate) cpu: Duration,
    /// What the client has sent meanwhile, and how many answers it has got.
    pub(crate) sent: (u64, u64),
}

/// Answers for an address on a node in the barest way there is, while `happen` runs: poll, recv, send, no more than the fields that change.
pub(crate) fn bare_loop(
    host: &Netns,
    address: &str,
    longest: Duration,
    happen: impl FnOnce() -> Result<(u64, u64)>,
) -> Result<Bare> {
    let target: Ipv4Addr = address.parse()?;
    let mac = mac(host)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let answering = scope.spawn(|| {
            host.within(|| {
                let runtime = runtime()?;
                let _entered = runtime.enter();
                let (sockets, index) = sockets(mac)?;
                let socket = sockets.arp(index).context("no socket")?;
                let end = clock::now() + longest;
                let began = cpu()?;
                let mut buffer = [0; 256];
                while !stop.load(Ordering::Relaxed) && clock::now() < end {
                    poll(
                        &mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)],
                        PollTimeout::from(100_u8),
                    )?;
                    while let Ok(length) = std::io::Read::read(&mut &*socket, &mut buffer) {
                        let packet = arp::Packet::read(buffer.get(..length).unwrap_or_default());
                        if let Some(packet) = packet.filter(|packet| !packet.reply && packet.target == target) {
                            socket.send(&packet.answer(mac, mac))?;
                        }
                    }
                }
                Ok(cpu()? - began)
            })
        });
        thread::sleep(Duration::from_millis(200));
        let sent = happen();
        stop.store(true, Ordering::Relaxed);
        let cpu = answering.join().map_err(|_| anyhow!("a thread has panicked"))??;
        Ok(Bare { cpu, sent: sent? })
    })
}

/// CPU time that this thread has used.
fn cpu() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Packets that an interface of this network namespace has received.
fn received(interface: &str) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let line = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'));
    let packets = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    packets.with_context(|| format!("{interface} has no counters"))
}
