//! The process: starts the driver's thread and the tasks on the main thread, and stops them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use kube::Client;
use lodestone_runtime::{
    admin,
    k8s::{client, events::Events},
    readiness::{Gate, Readiness},
    shutdown,
    task::{Task, spawn},
};
use lodestone_speaker_core::{NodeName, RecordedOwners};
use tokio::sync::watch;

use crate::{
    channels::{TaskChannels, channels},
    driver::{Driver, DriverParts},
    flags::SpeakerArgs,
    kubernetes::{
        configuration_state::{StateSources, StateWriter},
        events::send_user_events,
        node_events::send_node_events,
        peer_key,
        service_l2_status::Reporter,
        watcher::{ClusterWatcher, WatcherOutputs},
    },
};

/// How many times reading the recorded owners is tried.
const RECORDED_TRIES: u32 = 5;

/// The pause between two of these tries.
const RECORDED_RETRY: Duration = Duration::from_secs(1);

/// What the process waits for before it is ready.
struct Gates {
    /// The first list of every watch.
    synced: Gate,
    /// The core: it listens to the other speakers first.
    participating: Gate,
}

/// Runs the speaker until it receives a termination signal, or until the driver fails.
///
/// # Errors
/// When a part cannot start, and when the driver fails.
pub async fn run(args: SpeakerArgs) -> Result<()> {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = args.node_name,
        "speaker starting"
    );
    let client = client::connect()?;
    let readiness = Readiness::default();
    let gates = Gates {
        synced: readiness.gate("Services, EndpointSlices, Nodes, IPAddressPools and L2Advertisements"),
        participating: readiness.gate("the other speakers"),
    };
    let (_admin, queries) = admin::serve(args.common.admin_address(), args.metrics_address(), readiness).await?;
    let (driver_channels, task_channels) = channels();
    let parts = DriverParts {
        node: NodeName::from(args.node_name.as_str()),
        port: args.ml_bindport,
        settings: args.settings(),
        exclude: args.exclude.clone(),
        channels: driver_channels,
        queries,
    };
    let mut driver = Driver::start(parts)?;
    let _tasks = start_tasks(&client, &args, task_channels, gates).await;
    tokio::select! {
        outcome = driver.finished() => outcome,
        signal = shutdown::requested() => {
            signal?;
            tracing::info!("speaker shutting down; waiting up to 2 s for other speakers to cover its addresses");
            driver.shut_down().await
        }
    }
}

/// Starts the tasks that talk to Kubernetes. They end when the returned values are dropped.
async fn start_tasks(client: &Client, args: &SpeakerArgs, channels: TaskChannels, gates: Gates) -> Vec<Task> {
    let namespace = &args.common.namespace;
    let node = NodeName::from(args.node_name.as_str());
    let (events, event_task) = Events::start(client.clone(), "lodestone-speaker", args.pod_name.clone());
    // The driver needs the key first; it does nothing without one.
    let key_task = spawn(peer_key::follow(
        client.clone(),
        namespace.clone(),
        args.ml_secret_name.clone(),
        channels.keys,
    ));
    let recorded = read_recorded(client, namespace).await;
    let (uid_sender, uids) = watch::channel(BTreeMap::new());
    let node_events = send_node_events(events.clone(), node.clone(), channels.problems.clone());
    let state_writer = StateWriter {
        client: client.clone(),
        namespace: namespace.clone(),
        node: node.clone(),
        pod: args.owner_pod(),
        sources: StateSources {
            snapshots: channels.snapshots.subscribe(),
            problems: channels.problems,
        },
    };
    let watcher = ClusterWatcher::new(args.common.lb_class.clone(), args.ignore_exclude_lb, recorded);
    let outputs = WatcherOutputs {
        snapshots: channels.snapshots,
        uids: uid_sender,
    };
    let reporter = Reporter {
        client: client.clone(),
        namespace: namespace.clone(),
        node,
        pod: args.owner_pod(),
        events: events.clone(),
        uids: uids.clone(),
    };
    vec![
        event_task,
        key_task,
        spawn(watcher.run(client.clone(), namespace.clone(), outputs, gates.synced)),
        spawn(send_user_events(events, uids, channels.user_events)),
        spawn(node_events),
        spawn(state_writer.run()),
        spawn(reporter.run(channels.owned.clone())),
        spawn(open_when_some(channels.owned, gates.participating)),
    ]
}

/// Opens `gate` when `receiver` has a value for the first time.
async fn open_when_some<T>(mut receiver: watch::Receiver<Option<T>>, gate: Gate) {
    // The wait fails only if the driver has failed, and then the process ends.
    let _ = receiver.wait_for(Option::is_some).await;
    gate.open();
}

/// Reads which node announced each Service before this speaker started. The core can do without it,
/// so the speaker starts even if all tries fail.
async fn read_recorded(client: &Client, namespace: &str) -> RecordedOwners {
    for tries_left in (0..RECORDED_TRIES).rev() {
        match Reporter::recorded(client, namespace).await {
            Ok(recorded) => return recorded,
            Err(error) if tries_left > 0 => {
                tracing::warn!(%error, "cannot read ServiceL2Status objects; retrying");
                tokio::time::sleep(RECORDED_RETRY).await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read ServiceL2Status objects; starting without the recorded owners");
            }
        }
    }
    BTreeMap::new()
}
