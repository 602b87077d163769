//! The two controllers that `bench` compares: Lodestone's and the bare loop. Each is a Deployment
//! that the benchmark scales up only while it measures it.

use std::time::Duration;

use anyhow::{Context, Result};
use lodestone_bench::process::Process;
use lodestone_tests::{Cluster, NAMESPACE, wait_for, wait_until};
use serde_json::json;

const POD_TIMEOUT: Duration = Duration::from_secs(120);

/// Both systems, in the order in which each round measures them.
pub(crate) const SYSTEMS: [SystemUnderTest; 2] = [SystemUnderTest::Lodestone, SystemUnderTest::BareLoop];

/// A controller whose figures are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SystemUnderTest {
    Lodestone,
    BareLoop,
}

impl SystemUnderTest {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Lodestone => "Lodestone",
            Self::BareLoop => "bare loop",
        }
    }

    const fn deployment(self) -> &'static str {
        match self {
            Self::Lodestone => "deployment/lodestone-controller",
            Self::BareLoop => "deployment/bareloop",
        }
    }

    const fn pod_selector(self) -> &'static str {
        match self {
            Self::Lodestone => "app.kubernetes.io/component=controller",
            Self::BareLoop => "app=bareloop",
        }
    }

    /// Scales the Deployment and waits until exactly `replicas` pods exist.
    pub(crate) fn scale(self, cluster: &Cluster, replicas: u8) -> Result<()> {
        let deployment = self.deployment();
        let replicas_flag = format!("--replicas={replicas}");
        cluster.kubectl(&["-n", NAMESPACE, "scale", deployment, &replicas_flag])?;
        cluster.kubectl(&["-n", NAMESPACE, "rollout", "status", deployment, "--timeout=120s"])?;
        wait_until(&format!("{replicas} pods of {}", self.name()), POD_TIMEOUT, || {
            self.pods(cluster).is_ok_and(|pods| pods.len() == usize::from(replicas))
        })
    }

    fn pods(self, cluster: &Cluster) -> Result<Vec<String>> {
        let names = cluster.kubectl(&["-n", NAMESPACE, "get", "pods", "-l", self.pod_selector(), "-o", "name"])?;
        Ok(names
            .lines()
            .map(|name| name.trim_start_matches("pod/").to_owned())
            .collect())
    }

    /// Waits for a pod and returns its process.
    pub(crate) fn process(self, cluster: &Cluster) -> Result<Process> {
        let pod = wait_for(&format!("a pod of {}", self.name()), POD_TIMEOUT, || {
            Ok(self.pods(cluster)?.pop())
        })?;
        Ok(Process(cluster.process_of_pod(NAMESPACE, &pod)?.pid()))
    }
}

/// Installs the Deployment of the bare loop with no replicas.
pub(crate) fn install_bare_loop(cluster: &Cluster) -> Result<()> {
    let labels = json!({"app": "bareloop"});
    let container = json!({
        "name": "bareloop", "image": "localhost/bareloop:1",
        "securityContext": {"readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
    });
    let pod = json!({
        // The controller's permissions suffice.
        "serviceAccountName": "lodestone-controller",
        "containers": [container],
        "terminationGracePeriodSeconds": 0,
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bareloop", "namespace": NAMESPACE},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    });
    cluster
        .apply(&deployment.to_string())
        .context("cannot install the bare loop")?;
    Ok(())
}
