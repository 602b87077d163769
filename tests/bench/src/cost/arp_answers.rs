//! CPU per ARP answer: of the owner's speaker, and of a bare responder on the same node.

use std::time::Duration;

use anyhow::Result;
use lodestone_bench::{packet_sockets::lan_mac, statistics::median_and_max};
use lodestone_tests::Cluster;

use crate::{
    bare_responder::respond_during,
    flood::{Flood, Flooded},
    usage::speaker,
};

/// How long one flood of requests lasts.
const FLOOD: Duration = Duration::from_secs(5);

/// An address of the LAN for the bare responder.
const BARE_ADDRESS: &str = "192.168.122.240";

/// Sends `rate` requests per second to the speaker and to the bare responder, one after the other,
/// in each round.
pub(crate) fn measure(cluster: &Cluster, rate: u32, rounds: usize) -> Result<()> {
    let address = cluster.address_of("default", "nginxlb")?;
    let node = cluster.owner_of(&address)?;
    let speaker = speaker(cluster, &node)?;
    let host = cluster.host(&node);
    let flood = Flood {
        client: cluster.host("client1"),
        mac: lan_mac(&host)?,
        rate,
        time: FLOOD,
    };
    let (mut micros, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before = speaker.cpu()?;
        let flooded = flood.send(&address)?;
        let used = speaker.cpu()? - before;
        let ours = micros_per_answer(flooded, used);
        print(&format!("Lodestone at {rate} requests/s"), flooded, ours);

        let longest = FLOOD + Duration::from_secs(2);
        let (flooded, used) = respond_during(&host, BARE_ADDRESS, longest, || flood.send(BARE_ADDRESS))?;
        let bare = micros_per_answer(flooded, used);
        print("bare responder", flooded, bare);

        println!("  ratio: {:.2}", ours / bare);
        micros.push(ours);
        ratios.push(ours / bare);
    }
    println!(
        "ARP answers, {rounds} rounds: CPU per answer {}; ratio to the bare responder {}",
        median_and_max(micros, |micros| format!("{micros:.2} µs")),
        median_and_max(ratios, |ratio| format!("{ratio:.2}"))
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a few seconds of packets")]
fn micros_per_answer(flooded: Flooded, cpu: Duration) -> f64 {
    cpu.as_secs_f64() * 1e6 / flooded.answered.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "a few seconds of packets")]
fn print(responder: &str, Flooded { sent, answered }: Flooded, micros: f64) {
    let percent = answered as f64 * 100.0 / sent.max(1) as f64;
    println!("{responder}: {answered} of {sent} answered ({percent:.1} %), {micros:.2} µs of CPU per answer");
}
