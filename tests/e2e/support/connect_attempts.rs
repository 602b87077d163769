//! Connecting to a Service all the time, to find attempts that fail.

use std::{
    net::{IpAddr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use lodestone_runtime::clock;
use lodestone_tests::{Cluster, wait_until};

use super::{LIMIT, client, speaker_logs};

/// The time between two attempts.
const INTERVAL: Duration = Duration::from_millis(20);

/// The kernel sends the first segment again after a second. So an attempt that takes longer has
/// lost its first segment.
const LIMIT_OF_AN_ATTEMPT: Duration = Duration::from_secs(1);

/// Attempts before and after the work.
const ATTEMPTS: usize = 10;

/// The attempts to connect to a Service.
#[derive(Debug, Default)]
pub(crate) struct ConnectAttempts {
    attempts: usize,
    errors: Vec<String>,
    slowest: Duration,
}

impl ConnectAttempts {
    /// Asserts that no attempt failed.
    pub(crate) fn assert_none_failed(&self, cluster: &Cluster) {
        eprintln!(
            "{} attempts to connect, the slowest took {:?}",
            self.attempts, self.slowest
        );
        assert!(self.errors.is_empty(), "{self:?}\n{}", speaker_logs(cluster));
    }

    fn attempt(&mut self, address: SocketAddr) {
        let start = clock::now();
        if let Err(error) = TcpStream::connect_timeout(&address, LIMIT_OF_AN_ATTEMPT) {
            self.errors
                .push(format!("attempt {} to {address}: {error}", self.attempts));
        }
        self.attempts += 1;
        self.slowest = self.slowest.max(clock::now() - start);
    }
}

/// Connects to port 80 of these addresses, one after the other, again and again while `work` runs.
#[expect(clippy::disallowed_methods, reason = "the attempts come at a steady pace")]
pub(crate) fn watch_connections(cluster: &Cluster, addresses: &[&str], work: impl FnOnce()) -> ConnectAttempts {
    let addresses = addresses
        .iter()
        .map(|address| SocketAddr::new(address.parse::<IpAddr>().unwrap(), 80));
    let addresses: Vec<SocketAddr> = addresses.collect();
    let client = client(cluster);
    let (stop, attempts) = (
        AtomicBool::new(false),
        std::sync::Mutex::new(ConnectAttempts::default()),
    );
    let connect = || {
        for address in addresses.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            attempts.lock().unwrap().attempt(*address);
            std::thread::sleep(INTERVAL);
        }
        Ok(())
    };
    let wait_for_more = || {
        let begin = attempts.lock().unwrap().attempts;
        wait_until("attempts to connect", LIMIT, || {
            attempts.lock().unwrap().attempts >= begin + ATTEMPTS
        })
        .unwrap();
    };
    std::thread::scope(|scope| {
        let end = StopOnDrop(&stop);
        let connecting = scope.spawn(|| client.within(connect));
        wait_for_more();
        work();
        wait_for_more();
        drop(end);
        connecting.join().unwrap().unwrap();
    });
    attempts.into_inner().unwrap()
}

/// Ends the attempts, also if the work panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
