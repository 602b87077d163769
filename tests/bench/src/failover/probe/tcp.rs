//! HTTP over connections that stay open, and repeated attempts to connect.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::Result;
use lodestone_daemon::clock;

use super::Tally;

/// How long an attempt to connect may take. It is long enough for the kernel to retransmit the
/// first segment, which therefore does not count as a failure.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An open connection counts as broken if an answer takes longer than this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

pub(super) fn connect(address: IpAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::new(address, 80), CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request over the connection ten times a second until `stop`. Returns whether it broke.
pub(super) fn breaks(mut stream: TcpStream, stop: &AtomicBool) -> bool {
    let mut buffer = [0; 2000];
    while !stop.load(Ordering::Relaxed) {
        let sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        if sent.is_err() || !stream.read(&mut buffer).is_ok_and(|length| length > 0) {
            return true;
        }
        thread::sleep(Duration::from_millis(100));
    }
    false
}

/// Opens one connection after the other until `stop`, and prints why one failed.
pub(super) fn connect_repeatedly(address: IpAddr, stop: &AtomicBool) -> Result<Tally> {
    let mut attempts = Tally::default();
    while !stop.load(Ordering::Relaxed) {
        attempts.total += 1;
        let start = clock::now();
        if let Err(error) = connect(address) {
            attempts.failed += 1;
            println!(
                "attempt {} failed after {} ms: {error:#}",
                attempts.total,
                (clock::now() - start).as_millis()
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(attempts)
}
