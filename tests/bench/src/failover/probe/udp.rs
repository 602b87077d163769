//! UDP requests at a steady pace.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use lodestone_daemon::clock;

use super::INTERVAL;

/// How long a request waits for its answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends a request at each interval, from a new port, until `stop`. Returns the longest time
/// between two answers.
pub(super) fn longest_gap(address: IpAddr, stop: &AtomicBool) -> Result<Duration> {
    let (mut last_answer, mut longest) = (clock::now(), Duration::ZERO);
    let mut pending: VecDeque<(Instant, UdpSocket)> = VecDeque::new();
    let mut buffer = [0; 2000];
    while !stop.load(Ordering::Relaxed) {
        let sent_at = clock::now();
        pending.push_back((sent_at, send(address)?));
        thread::sleep(INTERVAL);
        let now = clock::now();
        pending.retain(|(sent_at, socket)| {
            let answered = socket.recv_from(&mut buffer).is_ok();
            if answered {
                longest = longest.max(now - last_answer);
                last_answer = now;
            }
            !answered && now - *sent_at < PATIENCE
        });
    }
    Ok(longest.max(clock::now() - last_answer))
}

/// Sends one request. Returns the socket that its answer arrives on.
fn send(address: IpAddr) -> Result<UdpSocket> {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    // A request that cannot be sent counts as unanswered.
    let _ = socket.send_to(b"hello", SocketAddr::new(address, 80));
    Ok(socket)
}
