//! The speaker: announces the addresses of Services on the LAN, one owner for each address.
#![forbid(unsafe_code)]

use std::{
    collections::BTreeMap,
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;
use kube::Client;
use lodestone_runtime::{
    admin,
    flags::CommonFlags,
    k8s::{client, events::Events},
    log,
    readiness::Readiness,
    shutdown,
    task::spawn,
};
use lodestone_speaker::{
    cluster::{
        gather::{Gathered, Gatherer},
        secret,
        state::{self, Sources},
        status::{Reporter, owner},
        tell::tell,
    },
    core::{
        Recorded, Settings,
        exclude::{self, Pattern},
        settings::{Caretaker, Ownership},
    },
    driver::Driver,
    wire::message::NodeName,
};
use tokio::sync::{mpsc, oneshot, watch};

/// Announces the addresses of Services on the LAN, one owner for each address.
#[derive(Parser, Debug)]
#[command(name = "speaker", version)]
struct Args {
    #[command(flatten)]
    common: CommonFlags,

    /// Name of the node that this speaker is for
    #[arg(long, env = "METALLB_NODE_NAME")]
    node_name: String,

    /// Name of this pod: the status objects belong to it
    #[arg(long, env = "METALLB_POD_NAME")]
    pod_name: Option<String>,

    /// Uid of this pod
    #[arg(long, env = "METALLB_POD_UID")]
    pod_uid: Option<String>,

    /// UDP port on which the speakers talk to each other
    #[arg(long, env = "METALLB_ML_BIND_PORT", default_value_t = 7947)]
    ml_bindport: u16,

    /// Name of the Secret with the key of the speakers' messages
    #[arg(long, env = "METALLB_ML_SECRET_NAME")]
    ml_secret_name: String,

    /// Announce even from nodes with the label node.kubernetes.io/exclude-from-external-load-balancers
    #[arg(long, env = "METALLB_IGNORE_EXCLUDE_LB")]
    ignore_exclude_lb: bool,

    /// When a node answers for another one whose speaker is away, with that one's MAC
    #[arg(long, value_enum, default_value_t)]
    caretaker: Caretaker,

    /// Whether an address stays with its owner, or goes back to the first in MetalLB's order when that node returns
    #[arg(long, value_enum, default_value_t)]
    ownership: Ownership,

    /// Never announce on interfaces whose names match this regular expression; may be given several times, in place of the list of MetalLB
    #[arg(long, value_name = "REGEX", default_values = exclude::DEFAULT)]
    exclude: Vec<Pattern>,

    /// Port of the HTTP server for /metrics, on all addresses of the node; 0: none
    #[arg(long, default_value_t = 9120)]
    port: u16,

    /// Seconds between the unasked announcements of what is owned; 0: only when it begins
    #[arg(long, default_value_t = 60)]
    announce_interval: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Args {
        common,
        node_name,
        pod_name,
        pod_uid,
        ml_bindport,
        ml_secret_name,
        ignore_exclude_lb,
        caretaker,
        ownership,
        exclude,
        announce_interval,
        port,
    } = Args::parse();
    log::start(common.log_level, common.log_format);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = node_name,
        "the speaker starts"
    );
    let client = client::connect().await?;
    let readiness = Readiness::default();
    let told = readiness.gate("Services, EndpointSlices, Nodes, IPAddressPools and L2Advertisements");
    let listened = readiness.gate("the other speakers");
    let metrics = (port != 0).then(|| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
    let (_admin, questions) = admin::serve(common.admin_address(), metrics, readiness).await?;
    let node = NodeName::from(node_name);
    let (events, _events) = Events::start(client.clone(), "lodestone-speaker", pod_name.clone());

    let (key, key_received) = watch::channel(None);
    let _secret = spawn(secret::follow(
        client.clone(),
        common.namespace.clone(),
        ml_secret_name,
        key,
    ));
    let (owned, mut owned_received) = watch::channel(None);
    let (facts, facts_received) = watch::channel(None);
    let (uids, uids_received) = watch::channel(BTreeMap::new());
    let (end, ended) = oneshot::channel();
    let (happened, happenings) = mpsc::unbounded_channel();
    let (problems, found) = watch::channel(None);
    let driver = Driver {
        node: node.clone(),
        port: ml_bindport,
        key: key_received,
        settings: Settings {
            caretaker,
            ownership,
            refresh: Duration::from_secs(announce_interval),
        },
        exclude,
        facts: facts_received.clone(),
        owned,
        happened,
        problems,
        questions,
        end: ended,
    };
    let mut finish = driver.start()?;

    let recorded = recorded(&client, &common.namespace).await;
    let gatherer = Gatherer::new(common.lb_class.clone(), ignore_exclude_lb, recorded);
    let gathered = Gathered { facts, uids };
    let _gatherer = spawn(gatherer.run(client.clone(), common.namespace.clone(), gathered, told));
    let _teller = spawn(tell(events.clone(), uids_received.clone(), happenings));
    let pod = pod_name.zip(pod_uid);
    let _state = spawn(state::keep(
        client.clone(),
        common.namespace.clone(),
        node.clone(),
        pod.as_ref().map(owner),
        Sources {
            facts: facts_received,
            problems: found,
        },
    ));
    let reporter = Reporter {
        client,
        namespace: common.namespace.clone(),
        node,
        pod,
        events,
        uids: uids_received,
    };
    let _reporter = spawn(reporter.run(owned_received.clone()));
    let _listened = spawn(async move {
        // The driver says what it owns when it has listened to the others: then this speaker takes part.
        if owned_received.wait_for(Option::is_some).await.is_ok() {
            listened.open();
        }
    });
    tokio::select! {
        outcome = &mut finish => outcome.context("the driver has panicked")?,
        told = shutdown::requested() => {
            told?;
            tracing::info!("the speaker ends; others take over");
            // A driver that has ended already needs no telling.
            let _ = end.send(());
            finish.await.context("the driver has panicked")?
        }
    }
}

/// Who owned what before this speaker was started. It is good to know and no more: after some tries it is done without.
async fn recorded(client: &Client, namespace: &str) -> Recorded {
    for _ in 0..5 {
        match Reporter::recorded(client, namespace).await {
            Ok(recorded) => return recorded,
            Err(error) => tracing::warn!(%error, "ServiceL2Status can't be read; trying again"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    BTreeMap::new()
}
