//! `failover`: what clients notice when speakers and nodes fail, on a real cluster, installed by the chart.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "what is measured here is time")]

mod probe;

use std::{net::IpAddr, path::PathBuf, thread, time::Duration};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use lodestone_tests::{Cluster, NAMESPACE, Spec, checkout, images, wait_for, wait_until};
use probe::{Noticed, watch};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(120);

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
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Figure {
    /// The owner's speaker is killed.
    Killed,
    /// The owner's pod is deleted.
    Deleted,
    /// All speakers are restarted, one after the other.
    Rollout,
    /// The owner's node loses its power.
    Power,
    /// The same while the API server is down.
    PowerWithoutApi,
    /// 30 % of all packets between the nodes and on the LAN are lost for a minute.
    Loss,
}

const FIGURES: [Figure; 6] = [
    Figure::Killed,
    Figure::Deleted,
    Figure::Rollout,
    Figure::Power,
    Figure::PowerWithoutApi,
    Figure::Loss,
];

fn main() -> Result<()> {
    let args = Args::parse();
    let spec = Spec {
        workers: 3,
        images: images()?,
        ..Spec::new(&format!("f{}", std::process::id()))
    };
    let cluster = Cluster::up(spec, &args.cluster)?;
    let values: Vec<&str> = args.set.iter().map(String::as_str).collect();
    cluster.install_lodestone(&values)?;
    cluster.apply(&std::fs::read_to_string(checkout().join("examples/quickstart.yaml"))?)?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "bench"},
        "spec": {
            "type": "LoadBalancer", "selector": {"app": "nginx-deployment"},
            "ports": [{"name": "http", "port": 80}, {"name": "udp", "port": 80, "protocol": "UDP"}],
        },
    });
    cluster.apply(&service.to_string())?;
    cluster.kubectl(&["rollout", "status", "deployment/nginx-deployment", "--timeout=60s"])?;
    let address: IpAddr = cluster.address_of("default", "bench")?.parse()?;
    let client = cluster.host("client1");
    wait_for("the first answer", LIMIT, || {
        client.http(&address.to_string(), 80).map(Some)
    })?;
    for figure in FIGURES
        .into_iter()
        .filter(|figure| args.only.is_empty() || args.only.contains(figure))
    {
        let rounds = if figure == Figure::Loss {
            args.rounds.min(2)
        } else {
            args.rounds
        };
        let mut all = Vec::new();
        for _ in 0..rounds {
            match round(&cluster, figure, address) {
                Ok((noticed, moved)) => {
                    println!("{figure:?}: {noticed:?}, {moved}");
                    all.push(noticed);
                }
                Err(error) => println!("{figure:?}: this round could not be measured: {error:#}"),
            }
        }
        report(figure, &all);
    }
    Ok(())
}

/// Lets something happen once, and says what was noticed, and who owned the address before and after.
fn round(cluster: &Cluster, figure: Figure, address: IpAddr) -> Result<(Noticed, String)> {
    let client = cluster.host("client1");
    let before = owner(cluster, address)?;
    let (connections, after) = match figure {
        Figure::Power | Figure::PowerWithoutApi => (0, Duration::from_secs(3)),
        Figure::Killed | Figure::Deleted => (CONNECTIONS, Duration::from_secs(6)),
        Figure::Rollout | Figure::Loss => (CONNECTIONS, Duration::from_secs(2)),
    };
    let pod = cluster.pod_of("speaker", Some(&before))?;
    if figure == Figure::PowerWithoutApi {
        cluster.stop_api_server()?;
        thread::sleep(Duration::from_secs(2));
    }
    let hosts: Vec<String> = cluster.spec().nodes();
    let noticed = watch(&client, address, connections, after, || match figure {
        Figure::Killed => {
            cluster.process_of_pod(NAMESPACE, &pod)?.kill();
            Ok(())
        }
        Figure::Deleted => cluster
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
        Figure::Loss => {
            for host in &hosts {
                cluster.lose_on_lan(host, lodestone_tests::Loss::Percent(30))?;
            }
            thread::sleep(Duration::from_secs(60));
            for host in &hosts {
                cluster.mend(host)?;
            }
            Ok(())
        }
    })?;
    if figure == Figure::PowerWithoutApi {
        cluster.start_api_server()?;
    }
    let new = owner(cluster, address)?;
    let moved = if new == before {
        format!("owned by {before} throughout")
    } else {
        format!("moved from {before} to {new}")
    };
    if matches!(figure, Figure::Power | Figure::PowerWithoutApi) {
        cluster.power_on(&before)?;
        cluster.kubectl(&[
            "wait",
            "--for=condition=Ready",
            &format!("node/{before}"),
            "--timeout=120s",
        ])?;
    }
    cluster.wait_for_lodestone()?;
    let client = cluster.host("client1");
    wait_until("the answers", LIMIT, || client.http(&address.to_string(), 80).is_ok())?;
    // What is learnt of the links is as it was; the pods of a node that had no power serve again.
    thread::sleep(Duration::from_secs(3));
    Ok((noticed, moved))
}

/// The node that answers for an address.
fn owner(cluster: &Cluster, address: IpAddr) -> Result<String> {
    let client = cluster.host("client1");
    let macs = wait_for("an answer", LIMIT, || {
        Ok(Some(client.who_has(&address.to_string())?).filter(|macs| macs.len() == 1))
    })?;
    let has = |node: &String| {
        cluster
            .host(node)
            .mac(cluster.lan_interface())
            .is_ok_and(|mac| macs.contains(&mac))
    };
    cluster
        .spec()
        .nodes()
        .into_iter()
        .find(has)
        .context("no node has this MAC")
}

fn report(figure: Figure, all: &[Noticed]) {
    let ms = |of: fn(&Noticed) -> Duration| {
        let mut times: Vec<u128> = all.iter().map(|noticed| of(noticed).as_millis()).collect();
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        format!("{median} ms, at most {} ms", times.last().copied().unwrap_or_default())
    };
    let sum = |of: fn(&Noticed) -> usize| all.iter().map(of).sum::<usize>();
    println!(
        "{figure:?}, {} rounds: longest time without an answer by UDP {}; by ARP {}; {} of {} ARP requests unanswered; {} connections broken; {} of {} attempts failed",
        all.len(),
        ms(|noticed| noticed.udp),
        ms(|noticed| noticed.arp),
        sum(|noticed| noticed.unanswered.0),
        sum(|noticed| noticed.unanswered.1),
        sum(|noticed| noticed.broken),
        sum(|noticed| noticed.refused.0),
        sum(|noticed| noticed.refused.1),
    );
}
