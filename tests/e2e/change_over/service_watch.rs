//! Every version of the Services, from before the change to its end.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::Child,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use lodestone_tests::{Cluster, wait_until};

use super::{LIMIT, metallb::SERVICES};

/// What is kept of each version: the name, the addresses, the pool under the current and under the
/// deprecated prefix, and the mark of [`ServiceWatch::finish`].
const FIELDS: &str = r#"jsonpath={.metadata.name}|{.status.loadBalancer.ingress[*].ip}|{.metadata.annotations.metallb\.io/ip-allocated-from-pool}|{.metadata.annotations.metallb\.universe\.tf/ip-allocated-from-pool}|{.metadata.annotations.watched}{"\n"}"#;

/// A version of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// The addresses in the status.
    pub(super) addresses: String,
    /// The pool in `metallb.io/ip-allocated-from-pool`.
    pub(super) pool: String,
    /// The pool in `metallb.universe.tf/ip-allocated-from-pool`.
    pub(super) deprecated_pool: String,
}

/// A watch of the Services in `default`.
pub(super) struct ServiceWatch<'a> {
    cluster: &'a Cluster,
    kubectl: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl<'a> ServiceWatch<'a> {
    /// Starts the watch. Returns when it has seen each Service.
    #[expect(clippy::disallowed_methods, reason = "one thread reads while the test works")]
    pub(super) fn start(cluster: &'a Cluster) -> Self {
        let args = ["get", "services", "-n", "default", "--watch", "-o", FIELDS];
        let mut kubectl = cluster.user_tool("kubectl").args(args).start().unwrap();
        let output = BufReader::new(kubectl.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        // It ends with kubectl.
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let watch = Self {
            cluster,
            kubectl,
            lines,
        };
        watch.wait_for_each("");
        watch
    }

    /// Ends the watch, and returns the versions of each Service. The watch has not ended by itself
    /// before: it has seen a last edit of each.
    pub(super) fn finish(self) -> BTreeMap<String, Vec<Version>> {
        for service in &SERVICES {
            let mark = ["annotate", "service", service.name, "watched=yes"];
            self.cluster.kubectl(&mark).unwrap();
        }
        self.wait_for_each("yes");
        let mut versions = BTreeMap::<_, Vec<Version>>::new();
        for line in self.lines() {
            let fields = line.split('|').collect::<Vec<_>>();
            let &[name, addresses, pool, deprecated_pool, ""] = fields.as_slice() else {
                continue;
            };
            versions.entry(name.to_owned()).or_default().push(Version {
                addresses: addresses.to_owned(),
                pool: pool.to_owned(),
                deprecated_pool: deprecated_pool.to_owned(),
            });
        }
        versions
    }

    /// Waits until the watch has seen a version of each Service with this mark.
    fn wait_for_each(&self, mark: &str) {
        wait_until(
            &format!("each Service to be seen with the mark {mark:?}"),
            LIMIT,
            || {
                let lines = self.lines();
                SERVICES.iter().all(|service| {
                    let (begin, end) = (format!("{}|", service.name), format!("|{mark}"));
                    lines
                        .iter()
                        .any(|line| line.starts_with(&begin) && line.ends_with(&end))
                })
            },
        )
        .unwrap();
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ServiceWatch<'_> {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.kubectl.kill());
        drop(self.kubectl.wait());
    }
}
