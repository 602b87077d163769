//! ARP requests at a steady pace for an address that is in use.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::Result;
use lodestone_bench::packet_sockets::single_thread_runtime;
use lodestone_runtime::clock;
use pnet_base::MacAddr;

use super::{Disruption, INTERVAL, Tally, arp_client::ArpClient};

/// A later answer counts as none.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// The requests sent so far, and what is known from their answers.
struct Requests {
    /// When each was sent, and whether it was answered in time.
    sent: Vec<(Instant, bool)>,
    last_answer: Instant,
    longest_gap: Duration,
    macs: BTreeSet<MacAddr>,
}

impl Requests {
    const fn new(now: Instant) -> Self {
        Self {
            sent: Vec::new(),
            last_answer: now,
            longest_gap: Duration::ZERO,
            macs: BTreeSet::new(),
        }
    }

    fn record_answer(&mut self, now: Instant, number: u32, mac: MacAddr) {
        self.macs.insert(mac);
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        if let Some((sent_at, answered @ false)) = index.and_then(|index| self.sent.get_mut(index)) {
            *answered = now < *sent_at + ANSWER_TIMEOUT;
            self.longest_gap = self.longest_gap.max(now - self.last_answer);
            self.last_answer = now;
        }
    }

    fn disruption(&self) -> Disruption {
        Disruption {
            arp_gap: self.longest_gap,
            arp_silence: self.longest_silence(),
            arp_requests: Tally {
                failed: self.sent.iter().filter(|(_, answered)| !answered).count(),
                total: self.sent.len(),
            },
            macs: self.macs.len(),
            ..Disruption::default()
        }
    }

    /// Returns the longest time from an unanswered request to the next answered one.
    fn longest_silence(&self) -> Duration {
        let (mut longest, mut since) = (Duration::ZERO, None);
        for (sent_at, answered) in &self.sent {
            if *answered {
                longest = longest.max(since.map_or(Duration::ZERO, |since| *sent_at - since));
                since = None;
            } else {
                since.get_or_insert(*sent_at);
            }
        }
        let unfinished = self.sent.last().zip(since).map(|((last, _), since)| *last - since);
        longest.max(unfinished.unwrap_or_default())
    }
}

/// Sends a request at each interval until `stop`. Does nothing for an IPv6 address.
pub(super) fn observe(address: IpAddr, mac: MacAddr, stop: &AtomicBool) -> Result<Disruption> {
    let IpAddr::V4(target) = address else {
        return Ok(Disruption::default());
    };
    single_thread_runtime()?.block_on(async {
        let mut client = ArpClient::open(mac, Ipv4Addr::UNSPECIFIED, target)?;
        let mut requests = Requests::new(clock::now());
        let mut interval = tokio::time::interval(INTERVAL);
        let mut end = None;
        while end.is_none_or(|end| clock::now() < end) {
            tokio::select! {
                _ = interval.tick() => {
                    if end.is_none() {
                        client.send()?;
                        requests.sent.push((clock::now(), false));
                    }
                    if stop.load(Ordering::Relaxed) {
                        end.get_or_insert_with(|| clock::now() + ANSWER_TIMEOUT);
                    }
                }
                answer = client.receive() => {
                    let (number, mac) = answer?;
                    requests.record_answer(clock::now(), number, mac);
                }
            }
        }
        Ok(requests.disruption())
    })
}
