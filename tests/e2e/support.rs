//! What the suites have in common: their shared cluster, namespaces for single tests, and helpers.

mod answers;
mod connect_attempts;
mod namespace;

use std::{
    ops::Deref,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lodestone_speaker::net::frame_sockets::FrameSockets;
use lodestone_speaker_core::{Interface, InterfaceIndex};
use lodestone_tests::{AnnouncedService, Cluster, NAMESPACE, Netns, Spec};
use pnet_base::MacAddr;
use serde_json::{Value, json};

pub(crate) use answers::{Answers, DEPUTY_GAP, LanWatch, TAKEOVER_GAP, watch_answers, watch_lan};
pub(crate) use connect_attempts::watch_connections;
pub(crate) use namespace::TestNamespace;

/// How long a test waits for a condition. It is generous: reaching it means that something is
/// broken, not that something is slow.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Turns functions that take a cluster into tests on one particular cluster.
///
/// `cluster_tests! { cluster, path::to; module::{test_a, test_b} }` defines the tests `test_a` and
/// `test_b`. They call `path::to::module::test_a(&cluster())` and so on. A function that the list
/// misses is dead code, which this crate denies.
macro_rules! cluster_tests {
    ($cluster:path, $suite:path; $($module:ident::{$($test:ident),* $(,)?})*) => {
        use $suite as suite;
        $($(
            #[test]
            fn $test() {
                suite::$module::$test(&$cluster());
            }
        )*)*
    };
}
pub(crate) use cluster_tests;

/// The program that supervises clusters.
pub(crate) fn cluster_program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_cluster"))
}

/// Exclusive access to the cluster of a suite, for as long as one test runs.
pub(crate) struct SharedCluster(MutexGuard<'static, Option<Cluster>>);

impl SharedCluster {
    /// Returns the running cluster with this `spec`. If there is none, starts it and calls
    /// `prepare`. A cluster with another spec belongs to a suite that has ended, and is taken down.
    ///
    /// The last cluster ends with this process: its supervisor takes it down.
    pub(crate) fn get(spec: Spec, prepare: impl FnOnce(&Cluster)) -> Self {
        static CURRENT: Mutex<Option<Cluster>> = Mutex::new(None);
        // A test that failed poisons the lock; the other tests still use the cluster.
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_none_or(|cluster| *cluster.spec() != spec) {
            *current = None;
            let cluster = Cluster::up(spec, cluster_program()).unwrap();
            prepare(&cluster);
            *current = Some(cluster);
        }
        Self(current)
    }
}

impl Deref for SharedCluster {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.0.as_ref().expect("`get` has started it")
    }
}

/// The host on the LAN outside the cluster.
pub(crate) fn client(cluster: &Cluster) -> Netns {
    cluster.host("client1")
}

/// Opens packet sockets on an interface. Call this in its network namespace and in a Tokio runtime.
pub(crate) fn frame_sockets(name: &str, index: InterfaceIndex, mac: MacAddr) -> FrameSockets {
    let interface = Interface {
        index,
        name: name.to_owned(),
        mac: Some(mac),
        running: true,
        can_arp: true,
        enslaved: false,
        excluded: false,
        addresses: vec![],
    };
    let mut sockets = FrameSockets::default();
    assert!(sockets.follow(&[interface]).is_empty());
    sockets
}

/// Creates a Service for one test and waits until a node announces it.
pub(crate) fn announced<'a>(cluster: &'a Cluster, name: &'static str, spec: &Value) -> AnnouncedService<'a> {
    AnnouncedService::new(cluster, name, spec).unwrap()
}

/// The `spec` of a Service with an IPv6 address only.
pub(crate) fn ipv6_only() -> Value {
    json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]})
}

/// Asserts that each Service is owned by its node, and stays there for some time.
#[expect(clippy::disallowed_methods, reason = "the test runs in real time")]
pub(crate) fn assert_owners_stay(cluster: &Cluster, owners: &[(&AnnouncedService<'_>, &str)], time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        for (service, node) in owners {
            let now = service.current_owner().unwrap();
            assert!(
                now == *node,
                "{} has moved from {node} to {now}:\n{}",
                service.address,
                speaker_logs(cluster)
            );
        }
    }
}

/// The last log lines of all speakers, for the messages of failed assertions.
pub(crate) fn speaker_logs(cluster: &Cluster) -> String {
    let logs = [
        "logs",
        "daemonset/lodestone-speaker",
        "--all-pods",
        "--prefix",
        "--tail=40",
    ];
    cluster
        .kubectl(&[&["-n", NAMESPACE], &logs[..]].concat())
        .unwrap_or_default()
}

/// The metrics of the speaker on `node`.
pub(crate) fn speaker_metrics(cluster: &Cluster, node: &str) -> anyhow::Result<String> {
    let pod = cluster.pod_of("speaker", Some(node))?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9120/proxy/metrics");
    cluster.kubectl(&["get", "--raw", &path])
}

/// Merges `more` into `into`, object by object.
pub(crate) fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}
