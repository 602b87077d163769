//! What clients on the LAN notice while something happens to the cluster.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use lodestone_daemon::clock;
use lodestone_speaker::{
    core::{Interface, Kind},
    net::frames::FrameSockets,
    wire::arp,
};
use lodestone_tests::Netns;
use pnet_base::MacAddr;

/// How often is asked.
const PACE: Duration = Duration::from_millis(5);

/// How long a connection that is open waits for an answer before it counts as broken.
const PATIENCE: Duration = Duration::from_secs(8);

/// Longest times without an answer, and what became of connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noticed {
    /// Of requests over UDP, each from a port of its own.
    pub(crate) udp: Duration,
    /// Of ARP requests.
    pub(crate) arp: Duration,
    /// How many ARP requests had no answer, of how many.
    pub(crate) unanswered: (usize, usize),
    /// How many connections that were open broke.
    pub(crate) broken: usize,
    /// How many attempts to connect failed, of how many.
    pub(crate) refused: (usize, usize),
}

/// Looks at `address` from `client` while `happen` runs, and for `after` it.
pub(crate) fn watch(
    client: &Netns,
    address: IpAddr,
    connections: usize,
    after: Duration,
    happen: impl FnOnce() -> Result<()>,
) -> Result<Noticed> {
    let stop = AtomicBool::new(false);
    let (mac, index) = (client.mac("eth0")?, interface_index(client)?);
    let open: Vec<TcpStream> = client.within(|| (0..connections).map(|_| connect(address)).collect())?;
    thread::scope(|scope| {
        let udp = scope.spawn(|| client.within(|| ask_by_udp(address, &stop)));
        let arp = scope.spawn(|| client.within(|| ask_by_arp(address, &mac, index, &stop)));
        let attempts = scope.spawn(|| client.within(|| attempt(address, &stop)));
        let held: Vec<_> = open
            .into_iter()
            .map(|stream| {
                let stop = &stop;
                scope.spawn(move || hold(stream, stop))
            })
            .collect();
        thread::sleep(Duration::from_millis(500));
        let happened = happen();
        thread::sleep(after);
        stop.store(true, Ordering::Relaxed);
        let broken = held
            .into_iter()
            .filter(|_| true)
            .map(|thread| thread.join().unwrap_or(true));
        let broken = broken.filter(|broken| *broken).count();
        let gone = || anyhow::anyhow!("a thread has panicked");
        let (arp, unanswered) = arp.join().map_err(|_| gone())??;
        let noticed = Noticed {
            udp: udp.join().map_err(|_| gone())??,
            arp,
            unanswered,
            broken,
            refused: attempts.join().map_err(|_| gone())??,
        };
        happened.map(|()| noticed)
    })
}

fn interface_index(client: &Netns) -> Result<u32> {
    client.within(|| {
        let text = std::fs::read_to_string("/proc/net/dev_mcast").unwrap_or_default();
        let found = text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let (index, name) = (words.next()?, words.next()?);
            (name == "eth0").then(|| index.parse().ok())?
        });
        found.context("the client has no eth0")
    })
}

/// Asks every five milliseconds from a new port; gives the longest time between two answers.
fn ask_by_udp(address: IpAddr, stop: &AtomicBool) -> Result<Duration> {
    let (mut last, mut longest) = (clock::now(), Duration::ZERO);
    let mut asked: VecDeque<(Instant, UdpSocket)> = VecDeque::new();
    let mut buffer = [0; 2000];
    while !stop.load(Ordering::Relaxed) {
        let now = clock::now();
        let any: IpAddr = if address.is_ipv4() {
            [0; 4].into()
        } else {
            [0; 16].into()
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_nonblocking(true)?;
        // What can't be sent has no answer.
        let _ = socket.send_to(b"hello", SocketAddr::new(address, 80));
        asked.push_back((now, socket));
        thread::sleep(PACE);
        let now = clock::now();
        asked.retain(|(sent, socket)| {
            let answered = socket.recv_from(&mut buffer).is_ok();
            if answered {
                longest = longest.max(now - last);
                last = now;
            }
            !answered && now - *sent < Duration::from_secs(1)
        });
    }
    Ok(longest.max(clock::now() - last))
}

/// Asks for the address every five milliseconds; gives the longest time between two answers, and how many had none.
fn ask_by_arp(address: IpAddr, mac: &str, index: u32, stop: &AtomicBool) -> Result<(Duration, (usize, usize))> {
    let IpAddr::V4(target) = address else {
        return Ok((Duration::ZERO, (0, 0)));
    };
    let mac: MacAddr = mac.parse().ok().context("no MAC")?;
    let interface = Interface {
        index,
        name: "eth0".to_owned(),
        mac: Some(mac),
        running: true,
        asks: true,
        enslaved: false,
        addresses: vec![],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut sockets = FrameSockets::default();
        anyhow::ensure!(sockets.follow(&[interface]).is_empty(), "no packet socket");
        let request = arp::request(mac, std::net::Ipv4Addr::UNSPECIFIED, target);
        let (mut last, mut longest, mut asked, mut answered) = (clock::now(), Duration::ZERO, 0, 0);
        let mut buffer = FrameSockets::buffer();
        let mut pace = tokio::time::interval(PACE);
        let mut pending = false;
        while !stop.load(Ordering::Relaxed) {
            tokio::select! {
                _ = pace.tick() => {
                    sockets.send(index, &request)?;
                    asked += 1;
                    pending = true;
                }
                (_, kind, length) = sockets.receive(&mut buffer) => {
                    let packet = (kind == Kind::Arp).then(|| arp::Packet::read(buffer.get(..length)?)).flatten();
                    if packet.is_some_and(|packet| packet.reply && packet.sender == target && packet.destination == mac) {
                        let now = clock::now();
                        longest = longest.max(now - last);
                        last = now;
                        answered += usize::from(std::mem::take(&mut pending));
                    }
                }
            }
        }
        Ok((longest.max(clock::now() - last), (asked - answered, asked)))
    })
}

fn connect(address: IpAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::new(address, 80), Duration::from_secs(5))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks over one connection ten times a second; gives back whether it broke.
fn hold(mut stream: TcpStream, stop: &AtomicBool) -> bool {
    let mut buffer = [0; 2000];
    while !stop.load(Ordering::Relaxed) {
        let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        if asked.is_err() || !stream.read(&mut buffer).is_ok_and(|read| read > 0) {
            return true;
        }
        thread::sleep(Duration::from_millis(100));
    }
    false
}

/// Opens connections, one after another; gives back how many failed, of how many. An attempt takes a retransmission of the first segment
/// for no failure.
fn attempt(address: IpAddr, stop: &AtomicBool) -> Result<(usize, usize)> {
    let (mut failed, mut all) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        all += 1;
        failed += usize::from(connect(address).is_err());
        thread::sleep(Duration::from_millis(20));
    }
    Ok((failed, all))
}
