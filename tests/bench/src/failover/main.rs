//! `failover`: what clients notice when speakers and nodes fail, on a real cluster, installed by the chart.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "what is measured here is time")]

mod time_to_first_answer;
mod probe;

use std::{net::IpAddr, path::PathBuf, thread, time::Duration};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use lodestone_bench::statistics::median_and_most;
use lodestone_tests::{Cluster, NAMESPACE, Spec, Topology, images, wait_for, wait_until};
use probe::{Noticed, watch};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(120);

const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Of so many connections every pod gets some.
const ALL_PODS: usize = 40;

/// How many connections are open while something happens.
const CONNECTIONS: usize = 50;

/// Measures failover on a cluster of its own, which goes when it ends.
#[derive(Parser)]
struct Args {
    /// The program `cluster`, which stands by the cluster
    #[arg(long)]
    cluster: PathBuf,
    /// How often each figure is taken
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// More values for the chart, such as speaker.caretaker=always
    #[arg(long)]
    set: Vec<String>,
    /// Only some of the figures
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Figure>,
    /// The nodes talk over another network than the LAN
    #[arg(long)]
    split: bool,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Figure {
    /// The owner's speaker is killed.
    Killed,
    /// The owner's pod is deleted.
    Deleted,
    /// The pod of a speaker that does not own the address is deleted: how much of the figure before is the machine's own work for a pod.
    Bystander,
    /// All speakers are restarted, one after the other.
    Rollout,
    /// The owner is excluded from load balancing: the address moves as planned. Before nodes lose their power: what is left of connections to
    /// pods that went with a node is in the way of new ones.
    Planned,
    /// The owner's node loses its power.
    Power,
    /// The same while the API server is down.
    PowerWithoutApi,
    /// The owner's cable on the LAN is pulled out, while the nodes still hear each other.
    Carrier,
    /// A new Service is applied with kubectl.
    Applied,
    /// A new Service is made by a program that is connected already.
    Created,
    /// 30 % of all packets between the nodes and on the LAN are lost for a minute.
    Loss,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let spec = Spec {
        workers: 3,
        topology: if args.split { Topology::Split } else { Topology::Flat },
        images: images()?,
        ..Spec::new(&format!("f{}", std::process::id()))
    };
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
    // Its node is not to lose its power: the API server is there.
    cluster.kubectl(&["label", "node", "cp", &format!("{EXCLUDE}=")])?;
    let address: IpAddr = cluster.address_of("default", "bench")?.parse()?;
    let client = cluster.host("client1");
    wait_for("the first answer", LIMIT, || {
        client.http(&address.to_string(), 80).map(Some)
    })?;
    wait_until("the address to be on a worker", LIMIT, || {
        cluster.owner_of(&address.to_string()).is_ok_and(|node| node != "cp")
    })?;
    let wanted = |figure: &Figure| args.only.is_empty() || args.only.contains(figure);
    for figure in Figure::value_variants().iter().copied().filter(wanted) {
        if figure == Figure::Carrier && !args.split {
            println!("{figure:?}: only with --split");
            continue;
        }
        match figure {
            Figure::Applied => time_to_first_answer::applied(&cluster, args.rounds)?,
            Figure::Created => time_to_first_answer::created(&cluster, args.rounds)?,
            _ => several(&cluster, figure, args.rounds, address),
        }
    }
    Ok(())
}

/// Takes a figure several times.
fn several(cluster: &Cluster, figure: Figure, rounds: usize, address: IpAddr) {
    let mut all = Vec::new();
    for _ in 0..rounds {
        match round(cluster, figure, address) {
            Ok((noticed, moved)) => {
                println!("{figure:?}: {noticed}, {moved}");
                all.push(noticed);
            }
            Err(error) => println!("{figure:?}: this round could not be measured: {error:#}"),
        }
    }
    report(figure, &all);
}

/// Lets something happen once, and says what was noticed, and who owned the address before and after.
fn round(cluster: &Cluster, figure: Figure, address: IpAddr) -> Result<(Noticed, String)> {
    let client = cluster.host("client1");
    let before = cluster.owner_of(&address.to_string())?;
    let (connections, after) = match figure {
        Figure::Power | Figure::PowerWithoutApi | Figure::Carrier => (0, Duration::from_secs(3)),
        Figure::Killed | Figure::Deleted | Figure::Bystander | Figure::Planned => (CONNECTIONS, Duration::from_secs(6)),
        Figure::Rollout | Figure::Loss | Figure::Applied | Figure::Created => (CONNECTIONS, Duration::from_secs(2)),
    };
    let nodes = cluster.spec().nodes();
    let bystander = nodes
        .iter()
        .rfind(|node| **node != before)
        .filter(|_| figure == Figure::Bystander);
    let pod = cluster.pod_of("speaker", Some(bystander.unwrap_or(&before)))?;
    if figure == Figure::PowerWithoutApi {
        cluster.stop_api_server()?;
        thread::sleep(Duration::from_secs(2));
    }
    let noticed = watch(&client, address, connections, after, || match figure {
        Figure::Killed => {
            cluster.process_of_pod(NAMESPACE, &pod)?.kill();
            Ok(())
        }
        Figure::Deleted | Figure::Bystander => cluster
            .kubectl(&["-n", NAMESPACE, "delete", "pod", &pod, "--wait=false"])
            .map(drop),
        Figure::Rollout => {
            cluster.kubectl(&["-n", NAMESPACE, "rollout", "restart", "daemonset/lodestone-speaker"])?;
            let status = [
                "-n",
                NAMESPACE,
                "rollout",
                "status",
                "daemonset/lodestone-speaker",
                "--timeout=180s",
            ];
            cluster.kubectl(&status).map(drop)
        }
        Figure::Power | Figure::PowerWithoutApi => cluster.power_off(&before),
        Figure::Carrier => cluster.plug(&before, false),
        Figure::Planned => cluster
            .kubectl(&["label", "node", &before, &format!("{EXCLUDE}=")])
            .map(drop),
        Figure::Applied | Figure::Created => Ok(()),
        Figure::Loss => {
            for host in &nodes {
                cluster.lose_on_lan(host, lodestone_tests::Loss::Percent(30))?;
            }
            thread::sleep(Duration::from_secs(60));
            for host in &nodes {
                cluster.mend(host)?;
            }
            Ok(())
        }
    })?;
    if figure == Figure::PowerWithoutApi {
        cluster.start_api_server()?;
    }
    let new = cluster.owner_of(&address.to_string())?;
    let moved = if new == before {
        format!("owned by {before} throughout")
    } else {
        format!("moved from {before} to {new}")
    };
    if matches!(figure, Figure::Power | Figure::PowerWithoutApi) {
        cluster.bring_back(&before)?;
    }
    match figure {
        Figure::Carrier => cluster.plug(&before, true)?,
        Figure::Planned => drop(cluster.kubectl(&["label", "node", &before, &format!("{EXCLUDE}-")])?),
        // kubelet starts a container that was killed often later and later; that of a new pod at once.
        Figure::Killed => drop(cluster.kubectl(&["-n", NAMESPACE, "delete", "pod", &pod])?),
        _ => {}
    }
    cluster.wait_for_lodestone()?;
    let client = cluster.host("client1");
    // The Service may still count on pods that went with their node.
    wait_until("all pods to answer", LIMIT, || {
        (0..ALL_PODS).all(|_| client.http(&address.to_string(), 80).is_ok())
    })?;
    // What is learnt of the links is as it was; the pods of a node that had no power serve again.
    thread::sleep(Duration::from_secs(3));
    Ok((noticed, moved))
}

fn report(figure: Figure, all: &[Noticed]) {
    let ms = |of: fn(&Noticed) -> Duration| in_ms(all.iter().map(of).collect());
    let sum = |of: fn(&Noticed) -> usize| all.iter().map(of).sum::<usize>();
    println!(
        "{figure:?}, {} rounds: longest time without an answer by UDP {}; by ARP {}, in vain for {}; {} of {} ARP requests unanswered; answers of at most {} MACs; {} connections broken; {} of {} attempts failed",
        all.len(),
        ms(|noticed| noticed.udp),
        ms(|noticed| noticed.arp),
        ms(|noticed| noticed.silent),
        sum(|noticed| noticed.unanswered.0),
        sum(|noticed| noticed.unanswered.1),
        all.iter().map(|noticed| noticed.macs).max().unwrap_or_default(),
        sum(|noticed| noticed.broken),
        sum(|noticed| noticed.refused.0),
        sum(|noticed| noticed.refused.1),
    );
}

/// Times that were measured, in milliseconds.
fn in_ms(times: Vec<Duration>) -> String {
    median_and_most(times, |time| format!("{} ms", time.as_millis()))
}
