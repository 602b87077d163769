//! Time to the first ARP answer for an address that nobody answers for yet.

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use lodestone_bench::packet_sockets::{lan_mac, single_thread_runtime};
use lodestone_runtime::clock;
use lodestone_tests::Netns;
use pnet_base::MacAddr;

use super::{arp_client::ArpClient, join};

/// How long to wait for the first answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Time between the first request and the operation that creates the address.
const LEAD: Duration = Duration::from_millis(200);

/// Interval between two requests.
const INTERVAL: Duration = Duration::from_millis(1);

/// An address of the LAN that no host has.
const UNUSED: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 250);

/// When a new address was answered for, and how long the operation took that caused it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstAnswer {
    /// From the start of the operation to the first answer.
    pub(crate) after: Duration,
    pub(crate) cause_took: Duration,
}

/// Sends requests for an address that nobody answers for yet, while `cause` runs.
pub(crate) fn first_answer(client: &Netns, address: IpAddr, cause: impl FnOnce() -> Result<()>) -> Result<FirstAnswer> {
    let mac = lan_mac(client)?;
    let IpAddr::V4(target) = address else {
        anyhow::bail!("ARP cannot resolve {address}");
    };
    thread::scope(|scope| {
        let answer = scope.spawn(|| client.within(|| wait_for_answer(mac, target)));
        thread::sleep(LEAD);
        let start = clock::now();
        let outcome = cause();
        let cause_took = clock::now() - start;
        let answered_at = join(answer)?;
        outcome?;
        Ok(FirstAnswer {
            after: answered_at.saturating_duration_since(start),
            cause_took,
        })
    })
}

/// Returns when the first answer for `target` arrived.
fn wait_for_answer(mac: MacAddr, target: Ipv4Addr) -> Result<Instant> {
    single_thread_runtime()?.block_on(async {
        let mut client = ArpClient::open(mac, UNUSED, target)?;
        let mut interval = tokio::time::interval(INTERVAL);
        let end = clock::now() + TIMEOUT;
        while clock::now() < end {
            tokio::select! {
                _ = interval.tick() => client.send()?,
                answer = client.receive() => {
                    answer?;
                    return Ok(clock::now());
                }
            }
        }
        anyhow::bail!("no answer for {target} within {TIMEOUT:?}")
    })
}
