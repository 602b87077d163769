//! The two that are measured, each as a Deployment of the cluster.

use std::time::Duration;

use anyhow::{Context, Result};
use lodestone_tests::{Cluster, NAMESPACE, wait_for, wait_until};
use serde_json::json;

use lodestone_bench::process::Process;

const LIMIT: Duration = Duration::from_secs(120);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Lodestone,
    BareLoop,
}

impl Subject {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Lodestone => "Lodestone",
            Self::BareLoop => "bare loop",
        }
    }

    const fn deployment(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Lodestone => (
                NAMESPACE,
                "deployment/lodestone-controller",
                "app.kubernetes.io/component=controller",
            ),
            Self::BareLoop => (NAMESPACE, "deployment/bareloop", "app=bareloop"),
        }
    }

    /// Runs so many of it, and waits until that is so.
    pub(crate) fn scale(self, cluster: &Cluster, replicas: u8) -> Result<()> {
        let (namespace, deployment, _) = self.deployment();
        cluster.kubectl(&["-n", namespace, "scale", deployment, &format!("--replicas={replicas}")])?;
        cluster.kubectl(&["-n", namespace, "rollout", "status", deployment, "--timeout=120s"])?;
        wait_until("the pods", LIMIT, || {
            self.pods(cluster).is_ok_and(|pods| pods.len() == usize::from(replicas))
        })
    }

    pub(crate) fn pods(self, cluster: &Cluster) -> Result<Vec<String>> {
        let (namespace, _, selector) = self.deployment();
        let names = cluster.kubectl(&["-n", namespace, "get", "pods", "-l", selector, "-o", "name"])?;
        Ok(names
            .lines()
            .map(|name| name.trim_start_matches("pod/").to_owned())
            .collect())
    }

    /// Its process, when there is one.
    pub(crate) fn process(self, cluster: &Cluster) -> Result<Process> {
        let pod = wait_for("one pod", LIMIT, || Ok(self.pods(cluster)?.pop()))?;
        Ok(Process(cluster.process_of_pod(self.deployment().0, &pod)?.pid()))
    }
}

/// Puts the bare loop into the cluster, asleep.
pub(crate) fn install_bare_loop(cluster: &Cluster) -> Result<()> {
    let labels = json!({"app": "bareloop"});
    let container = json!({
        "name": "bareloop", "image": "localhost/bareloop:1",
        "securityContext": {"readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bareloop", "namespace": NAMESPACE},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                // The rights that the controller has are enough.
                "spec": {"serviceAccountName": "lodestone-controller", "containers": [container], "terminationGracePeriodSeconds": 0},
            },
        },
    });
    cluster
        .apply(&deployment.to_string())
        .context("can't install the bare loop")?;
    Ok(())
}
