//! `cost`: what the speakers cost on a real cluster, installed by the chart: memory and CPU with nothing to do and with a thousand addresses,
//! and CPU for each ARP answer, beside a bare loop of recv and send in the same run.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "what is measured here is time")]

mod flood;

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use flood::{Flood, bare_loop};
use lodestone_bench::{
    statistics::median_and_most,
    load::{Served, clear, client, create},
    packet_sockets,
    process::Process,
};
use lodestone_tests::{Cluster, NAMESPACE, Spec, images, wait_for};
use serde_json::json;
use tokio::time::sleep;

const LIMIT: Duration = Duration::from_secs(120);

/// An address of the LAN that the bare loop answers for.
const BARE: &str = "192.168.122.240";

/// Measures the speakers on a cluster of its own, which goes when it ends.
#[derive(Parser)]
struct Args {
    /// The program `cluster`, which stands by the cluster
    #[arg(long)]
    cluster: PathBuf,
    /// How often each figure is taken
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// How many addresses
    #[arg(long, default_value_t = 1000)]
    addresses: usize,
    /// ARP requests a second
    #[arg(long, default_value_t = 100_000)]
    rate: u32,
    /// Only some of the figures
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Figure>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Figure {
    Idle,
    Answers,
    Many,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let args = Args::parse();
    let spec = Spec {
        workers: 2,
        images: images()?,
        ..Spec::new(&format!("c{}", std::process::id()))
    };
    let cluster = Cluster::up(spec, &args.cluster)?;
    cluster.install_lodestone(&[])?;
    let wanted = |figure| args.only.is_empty() || args.only.contains(&figure);
    if wanted(Figure::Idle) {
        usage(&cluster, "idle", args.rounds).await?;
    }
    cluster.apply_quickstart()?;
    if wanted(Figure::Answers) {
        answers(&cluster, &args)?;
    }
    if wanted(Figure::Many) {
        many(&cluster, args.addresses, args.rounds).await?;
    }
    Ok(())
}

fn speakers(cluster: &Cluster) -> Result<Vec<Process>> {
    let nodes = cluster.spec().nodes();
    let process = |node: &String| {
        let pod = cluster.pod_of("speaker", Some(node))?;
        Ok(Process(cluster.process_of_pod(NAMESPACE, &pod)?.pid()))
    };
    nodes.iter().map(process).collect()
}

/// Memory and CPU of all speakers while nothing happens.
async fn usage(cluster: &Cluster, when: &str, rounds: usize) -> Result<()> {
    const WATCHED: Duration = Duration::from_secs(30);
    let speakers = speakers(cluster)?;
    sleep(Duration::from_secs(5)).await;
    let (mut resident, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before: Vec<Duration> = speakers.iter().map(|speaker| speaker.cpu()).collect::<Result<_>>()?;
        sleep(WATCHED).await;
        for (speaker, before) in speakers.iter().zip(before) {
            cpu.push((speaker.cpu()? - before).as_secs_f64() / WATCHED.as_secs_f64() * 100.0);
            resident.push(speaker.megabytes()?);
        }
    }
    println!(
        "{when}, {rounds} rounds of {} speakers: resident {}; CPU {}",
        speakers.len(),
        median_and_most(resident, |mb| format!("{mb:.2} MB")),
        median_and_most(cpu, |percent| format!("{percent:.2} %"))
    );
    Ok(())
}

/// A thousand addresses, all of them announced.
async fn many(cluster: &Cluster, count: usize, rounds: usize) -> Result<()> {
    let object = |kind: &str, spec: serde_json::Value| {
        json!({"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": {"name": "many", "namespace": NAMESPACE}, "spec": spec}).to_string()
    };
    cluster.apply(&object("IPAddressPool", json!({"addresses": ["10.0.0.0/16"]})))?;
    cluster.apply(&object("L2Advertisement", json!({"ipAddressPools": ["many"]})))?;
    cluster.kubectl(&["create", "namespace", "bench"])?;
    let client = client(cluster).await?;
    let mut served = Served::watch(&client).await?;
    let pods = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "bench"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "nginx:1.29"}]}},
        },
    });
    cluster.apply(&pods.to_string())?;
    create(&client, count, Some("web")).await?;
    served.all(count).await?;
    let status = || -> Result<usize> {
        let names = cluster.kubectl(&["-n", NAMESPACE, "get", "servicel2statuses", "-o", "name"])?;
        Ok(names.lines().count())
    };
    wait_for("all to be announced", LIMIT * 3, || {
        Ok((status()? >= count).then_some(()))
    })?;
    sleep(Duration::from_secs(20)).await;
    usage(cluster, &format!("{count} addresses"), rounds).await?;
    clear(&client).await
}

/// CPU for each answer of the owner's speaker, and of a bare loop on the same node.
fn answers(cluster: &Cluster, args: &Args) -> Result<()> {
    const TIME: Duration = Duration::from_secs(5);
    let address = cluster.address_of("default", "nginxlb")?;
    let node = cluster.owner_of(&address)?;
    let pod = cluster.pod_of("speaker", Some(&node))?;
    let speaker = Process(cluster.process_of_pod(NAMESPACE, &pod)?.pid());
    let host = cluster.host(&node);
    let flood = Flood {
        client: cluster.host("client1"),
        mac: packet_sockets::mac(&host)?,
        rate: args.rate,
        time: TIME,
    };
    let (mut micros, mut times) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let before = speaker.cpu()?;
        let (sent, answered) = flood.send(&address)?;
        let ours = speaker.cpu()? - before;
        let each = print(&format!("Lodestone at {} a second", args.rate), sent, answered, ours);
        let bare = bare_loop(&host, BARE, TIME + Duration::from_secs(2), || flood.send(BARE))?;
        let (sent, answered) = bare.sent;
        let bare_each = print("bare loop", sent, answered, bare.cpu);
        println!("  {:.2} times the bare loop's", each / bare_each);
        micros.push(each);
        times.push(each / bare_each);
    }
    println!(
        "ARP answers, {} rounds: CPU for each {}; of what the bare loop takes {}",
        args.rounds,
        median_and_most(micros, |micros| format!("{micros:.2} µs")),
        median_and_most(times, |times| format!("{times:.2} times"))
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a few seconds of packets")]
fn print(what: &str, sent: u64, answered: u64, cpu: Duration) -> f64 {
    let micros = cpu.as_secs_f64() * 1e6 / answered.max(1) as f64;
    let percent = answered as f64 * 100.0 / sent.max(1) as f64;
    println!("{what}: {answered} of {sent} answered ({percent:.1} %), {micros:.2} µs of CPU each");
    micros
}
