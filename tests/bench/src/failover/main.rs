//! `failover`: what a client on the LAN notices when speakers, links and nodes fail, on a real
//! cluster where the chart installed Lodestone.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "this program measures time")]

mod incident;
mod probe;
mod time_to_first_answer;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use incident::{EXCLUDE_LABEL, Incident, Round};
use lodestone_bench::statistics::median_and_max;
use lodestone_tests::{Cluster, Layout, Spec, images, wait_for, wait_until};
use probe::Disruption;
use serde_json::json;

/// How long a part of the cluster may take to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// Measures failover on a cluster that exists only for this run
#[derive(Parser)]
struct FailoverArgs {
    /// Path of the program `cluster`, which takes the cluster down even if this process is killed
    #[arg(long)]
    cluster: PathBuf,
    /// Number of measurements per figure
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Additional chart values, such as speaker.deputy=always
    #[arg(long)]
    set: Vec<String>,
    /// Take only these figures
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<FailoverFigure>,
    /// Give the nodes a network of their own, apart from the LAN
    #[arg(long)]
    split: bool,
}

/// A figure that can be chosen with `--only`. The default is all of them, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailoverFigure {
    /// The owner's speaker is killed
    Killed,
    /// The pod of the owner's speaker is deleted
    Deleted,
    /// The pod of a speaker that does not own the address is deleted: the baseline for `deleted`
    Bystander,
    /// All speakers are restarted, one after the other
    Rollout,
    /// The owner is excluded from load balancers, so that the address is handed over
    //
    // Before the power failures: connections to pods of a node that went away delay later ones.
    Planned,
    /// The owner's node loses its power
    Power,
    /// The owner's node loses its power while the API server is down
    PowerWithoutApi,
    /// The owner's LAN cable is unplugged while the nodes still hear each other; only with --split
    Carrier,
    /// Time to the first ARP answer for a new Service, from the start of `kubectl apply`
    Applied,
    /// Time to the first ARP answer for a new Service, from the request of a connected program
    Created,
    /// 30 % of all packets of the nodes on the LAN are lost for a minute
    Loss,
}

impl FailoverFigure {
    /// Returns the incident that the figure is about; none if it is about a new Service.
    const fn incident(self) -> Option<Incident> {
        match self {
            Self::Killed => Some(Incident::KillSpeaker),
            Self::Deleted => Some(Incident::DeleteOwnerPod),
            Self::Bystander => Some(Incident::DeleteOtherPod),
            Self::Rollout => Some(Incident::RestartSpeakers),
            Self::Planned => Some(Incident::ExcludeOwner),
            Self::Power => Some(Incident::PowerOff),
            Self::PowerWithoutApi => Some(Incident::PowerOffWithoutApi),
            Self::Carrier => Some(Incident::UnplugCable),
            Self::Loss => Some(Incident::LosePackets),
            Self::Applied | Self::Created => None,
        }
    }
}

fn main() -> Result<()> {
    let args = FailoverArgs::parse();
    let cluster = set_up(&args)?;
    let address = announced_address(&cluster)?;
    let wanted = |figure: &FailoverFigure| args.only.is_empty() || args.only.contains(figure);
    for figure in FailoverFigure::value_variants().iter().copied().filter(wanted) {
        match figure.incident() {
            Some(Incident::UnplugCable) if !args.split => println!("{figure:?}: skipped, needs --split"),
            Some(incident) => measure(&cluster, incident, args.rounds, address),
            None if figure == FailoverFigure::Applied => time_to_first_answer::after_apply(&cluster, args.rounds)?,
            None => time_to_first_answer::after_request(&cluster, args.rounds)?,
        }
    }
    Ok(())
}

/// Starts a cluster with Lodestone and a Service that answers on TCP and UDP.
fn set_up(args: &FailoverArgs) -> Result<Cluster> {
    let layout = if args.split { Layout::Split } else { Layout::Flat };
    let spec = Spec::unique("f").workers(3).layout(layout).images(images()?);
    let cluster = Cluster::up(spec, &args.cluster)?;
    let values: Vec<&str> = args.set.iter().map(String::as_str).collect();
    cluster.install_lodestone(&values)?;
    cluster.apply_quickstart()?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "bench"},
        "spec": {
            "type": "LoadBalancer", "selector": {"app": "nginx-deployment"},
            "ports": [{"name": "http", "port": 80}, {"name": "udp", "port": 80, "protocol": "UDP"}],
        },
    });
    cluster.apply(&service.to_string())?;
    // The control-plane node must not become the owner: its power failure would stop the API
    // server.
    cluster.kubectl(&["label", "node", "cp", &format!("{EXCLUDE_LABEL}=")])?;
    Ok(cluster)
}

/// Waits until the Service answers and a worker owns its address. Returns the address.
fn announced_address(cluster: &Cluster) -> Result<IpAddr> {
    let address = cluster.address_of("default", "bench")?;
    let client = cluster.host("client1");
    wait_for("the first answer", READY_TIMEOUT, || {
        client.http(&address, 80).map(Some)
    })?;
    wait_until("a worker to own the address", READY_TIMEOUT, || {
        cluster.owner_of(&address).is_ok_and(|node| node != "cp")
    })?;
    Ok(address.parse()?)
}

/// Causes an incident several times, and prints each disruption and a summary.
fn measure(cluster: &Cluster, incident: Incident, rounds: usize, address: IpAddr) {
    let mut disruptions = Vec::new();
    for _ in 0..rounds {
        match Round::new(cluster, incident, address).and_then(|round| round.run()) {
            Ok((disruption, owner)) => {
                println!("{}: {disruption}, {owner}", incident.name());
                disruptions.push(disruption);
            }
            Err(error) => println!("{}: this round failed: {error:#}", incident.name()),
        }
    }
    print_summary(incident, &disruptions);
}

fn print_summary(incident: Incident, all: &[Disruption]) {
    let gap = |of: fn(&Disruption) -> Duration| in_ms(all.iter().map(of).collect());
    let sum = |of: fn(&Disruption) -> usize| all.iter().map(of).sum::<usize>();
    println!(
        "{}, {} rounds: longest gap between UDP answers {}; between ARP answers {}; longest run of unanswered ARP requests {}; \
         {} of {} ARP requests unanswered; answers from at most {} MACs; {} connections broken; \
         {} of {} attempts to connect failed",
        incident.name(),
        all.len(),
        gap(|disruption| disruption.udp_gap),
        gap(|disruption| disruption.arp_gap),
        gap(|disruption| disruption.arp_silence),
        sum(|disruption| disruption.arp_requests.failed),
        sum(|disruption| disruption.arp_requests.total),
        all.iter().map(|disruption| disruption.macs).max().unwrap_or_default(),
        sum(|disruption| disruption.broken_connections),
        sum(|disruption| disruption.attempts.failed),
        sum(|disruption| disruption.attempts.total),
    );
}

/// Returns the median and the maximum of `times` in milliseconds, as text.
fn in_ms(times: Vec<Duration>) -> String {
    median_and_max(times, |time| format!("{} ms", time.as_millis()))
}
