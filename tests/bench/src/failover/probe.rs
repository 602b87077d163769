//! What clients on the LAN notice while something happens to the cluster.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use lodestone_daemon::clock;
use lodestone_speaker::{
    core::Kind,
    net::frames::{FRAME, FrameSockets},
    wire::arp,
};
use lodestone_tests::Netns;
use pnet_base::MacAddr;

use lodestone_bench::packet_sockets::{mac, runtime, sockets};

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
    /// The longest time for which ARP requests had no answer at all, neither soon nor later.
    pub(crate) silent: Duration,
    /// How many ARP requests had no answer, of how many.
    pub(crate) unanswered: (usize, usize),
    /// How many MACs answered them.
    pub(crate) macs: usize,
    /// How many connections that were open broke.
    pub(crate) broken: usize,
    /// How many attempts to connect failed, of how many.
    pub(crate) refused: (usize, usize),
}

impl fmt::Display for Noticed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_millis();
        let ((unanswered, asked), (failed, attempts)) = (self.unanswered, self.refused);
        write!(
            f,
            "UDP {} ms, ARP {} ms, in vain for {} ms, {unanswered} of {asked} ARP requests unanswered, answers of {} MACs, \
             {} connections broken, {failed} of {attempts} attempts failed",
            ms(self.udp),
            ms(self.arp),
            ms(self.silent),
            self.macs,
            self.broken
        )
    }
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
    let mac = mac(client)?;
    let open: Vec<TcpStream> = client.within(|| (0..connections).map(|_| connect(address)).collect())?;
    thread::scope(|scope| {
        let udp = scope.spawn(|| client.within(|| ask_by_udp(address, &stop)));
        let arp = scope.spawn(|| client.within(|| ask_by_arp(address, mac, &stop)));
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
        let broken = held.into_iter().map(|thread| thread.join().unwrap_or(true));
        let broken = broken.filter(|broken| *broken).count();
        let gone = || anyhow::anyhow!("a thread has panicked");
        let noticed = Noticed {
            udp: udp.join().map_err(|_| gone())??,
            broken,
            refused: attempts.join().map_err(|_| gone())??,
            ..arp.join().map_err(|_| gone())??
        };
        happened.map(|()| noticed)
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

/// An answer that comes later than this counts as none.
const LATEST: Duration = Duration::from_millis(500);

/// An address of the LAN that no host has.
const NOBODY: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 250);

/// ARP requests of a client, each from a MAC of its own, so that every answer tells which of them it is for.
struct Asker {
    sockets: FrameSockets,
    index: u32,
    mac: MacAddr,
    sender: Ipv4Addr,
    target: Ipv4Addr,
    asked: u32,
    buffer: [u8; FRAME],
}

impl Asker {
    /// To be made within the client's network. Without a sender's address nobody learns anything from the requests, but where two ask for one
    /// address before they use it they are in each other's way.
    fn open(mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> Result<Self> {
        let (sockets, index) = sockets(mac)?;
        Ok(Self {
            sockets,
            index,
            mac,
            sender,
            target,
            asked: 0,
            buffer: FrameSockets::buffer(),
        })
    }

    /// Asks once more; gives the number of the request.
    fn ask(&mut self) -> Result<u32> {
        self.asked += 1;
        let mut frame = arp::request(self.mac, self.sender, self.target);
        frame[22..24].copy_from_slice(&[2, 0xaa]);
        frame[24..28].copy_from_slice(&self.asked.to_be_bytes());
        self.sockets.send(self.index, &frame)?;
        Ok(self.asked)
    }

    /// Waits for an answer; gives the number of the request that it is for, and the MAC that it tells.
    async fn answer(&mut self) -> (u32, MacAddr) {
        loop {
            let (_, kind, length) = self.sockets.receive(&mut self.buffer).await;
            let frame = self.buffer.get(..length).unwrap_or_default();
            let packet = (kind == Kind::Arp).then(|| arp::Packet::read(frame)).flatten();
            if let Some(packet) = packet.filter(|packet| packet.reply && packet.sender == self.target)
                && let [2, 0xaa, a, b, c, d] = <[u8; 6]>::from(packet.destination)
            {
                return (u32::from_be_bytes([a, b, c, d]), packet.sender_mac);
            }
        }
    }
}

/// Asks for the address every five milliseconds.
fn ask_by_arp(address: IpAddr, mac: MacAddr, stop: &AtomicBool) -> Result<Noticed> {
    let IpAddr::V4(target) = address else {
        return Ok(Noticed::default());
    };
    runtime()?.block_on(async {
        let mut asker = Asker::open(mac, Ipv4Addr::UNSPECIFIED, target)?;
        let (mut last, mut longest) = (clock::now(), Duration::ZERO);
        // When each was sent, and whether it was answered.
        let mut sent: Vec<(Instant, bool)> = Vec::new();
        let mut macs = BTreeSet::new();
        let mut pace = tokio::time::interval(PACE);
        let mut end = None;
        while end.is_none_or(|end| clock::now() < end) {
            tokio::select! {
                _ = pace.tick() => {
                    if end.is_none() {
                        asker.ask()?;
                        sent.push((clock::now(), false));
                    }
                    if stop.load(Ordering::Relaxed) {
                        end.get_or_insert_with(|| clock::now() + LATEST);
                    }
                }
                (number, mac) = asker.answer() => {
                    macs.insert(mac);
                    let place = usize::try_from(number)?.saturating_sub(1);
                    if let Some((asked, answered @ false)) = sent.get_mut(place) {
                        let now = clock::now();
                        *answered = now < *asked + LATEST;
                        longest = longest.max(now - last);
                        last = now;
                    }
                }
            }
        }
        let unanswered = sent.iter().filter(|(_, answered)| !answered).count();
        Ok(Noticed {
            arp: longest,
            silent: longest_silence(&sent),
            unanswered: (unanswered, sent.len()),
            macs: macs.len(),
            ..Noticed::default()
        })
    })
}

/// The longest time from a request without an answer to the next that has one.
fn longest_silence(sent: &[(Instant, bool)]) -> Duration {
    let (mut longest, mut since) = (Duration::ZERO, None);
    for (asked, answered) in sent {
        if *answered {
            longest = longest.max(since.map_or(Duration::ZERO, |since| *asked - since));
            since = None;
        } else {
            since.get_or_insert(*asked);
        }
    }
    let open = sent.last().zip(since).map(|((last, _), since)| *last - since);
    longest.max(open.unwrap_or_default())
}

/// Asks for an address that nobody has yet while `happen` runs; gives when the first answer came, from its beginning, and how long it took
/// itself.
pub(crate) fn first_answer(
    client: &Netns,
    address: IpAddr,
    happen: impl FnOnce() -> Result<()>,
) -> Result<(Duration, Duration)> {
    const LIMIT: Duration = Duration::from_secs(30);
    let mac = mac(client)?;
    let IpAddr::V4(target) = address else {
        anyhow::bail!("{address} is not asked for by ARP");
    };
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            client.within(|| {
                runtime()?.block_on(async {
                    let mut asker = Asker::open(mac, NOBODY, target)?;
                    let mut pace = tokio::time::interval(Duration::from_millis(1));
                    let end = clock::now() + LIMIT;
                    while clock::now() < end {
                        tokio::select! {
                            _ = pace.tick() => drop(asker.ask()?),
                            _ = asker.answer() => return Ok(clock::now()),
                        }
                    }
                    anyhow::bail!("no answer for {address}")
                })
            })
        });
        thread::sleep(Duration::from_millis(200));
        let began = clock::now();
        let happened = happen();
        let took = clock::now() - began;
        let answered = asking.join().map_err(|_| anyhow::anyhow!("a thread has panicked"))??;
        happened?;
        Ok((answered.saturating_duration_since(began), took))
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

/// Opens connections, one after another; gives back how many failed, of how many, and says why. An attempt takes a retransmission of the
/// first segment for no failure.
fn attempt(address: IpAddr, stop: &AtomicBool) -> Result<(usize, usize)> {
    let (mut failed, mut all) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        all += 1;
        let began = clock::now();
        if let Err(error) = connect(address) {
            failed += 1;
            println!(
                "attempt {all} failed after {} ms: {error:#}",
                (clock::now() - began).as_millis()
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok((failed, all))
}
