//! Installing Lodestone in a cluster, the way a user does: with helm and kubectl.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::{cluster::Cluster, network::LAN_POOL_IPV6};

/// The namespace that Lodestone is installed in.
pub const NAMESPACE: &str = "metallb-system";

/// The root directory of the repository.
#[must_use]
pub fn checkout() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The image archives that `make images` writes: Lodestone's and the tests'.
///
/// # Errors
/// When an archive is missing.
pub fn images() -> Result<Vec<PathBuf>> {
    let names = [
        "images/controller",
        "images/speaker",
        "test-images/pause",
        "test-images/testserver",
    ];
    let archives = names.map(|name| checkout().join(format!("target/{name}.tar")));
    if let Some(missing) = archives.iter().find(|path| !path.exists()) {
        bail!("{} is missing: run `make images`", missing.display());
    }
    Ok(archives.into())
}

impl Cluster {
    /// Installs the chart of this repository with helm, and waits until every pod is ready.
    ///
    /// # Errors
    /// When helm fails, or a pod does not become ready.
    pub fn install_lodestone(&self, values: &[&str]) -> Result<()> {
        self.run_helm(&["install", "--create-namespace"], values)
    }

    /// Changes the installation with `helm upgrade` and waits until every pod is ready. Values that
    /// are not in `values` return to their defaults.
    ///
    /// # Errors
    /// When helm fails, or a pod does not become ready.
    pub fn upgrade_lodestone(&self, values: &[&str]) -> Result<()> {
        self.run_helm(&["upgrade", "--reset-values"], values)
    }

    fn run_helm(&self, command: &[&str], values: &[&str]) -> Result<()> {
        let chart = checkout().join("charts/lodestone");
        let chart = chart.to_str().context("the path of the chart is not UTF-8")?;
        let mut args = [command, &["lodestone", chart, "-n", NAMESPACE]].concat();
        for value in values {
            args.extend(["--set", value]);
        }
        self.helm(&args)?;
        self.wait_for_lodestone()
    }

    /// Creates a pool of IPv6 addresses on the LAN ([`LAN_POOL_IPV6`]), advertised by every node.
    ///
    /// # Errors
    /// When kubectl fails.
    pub fn apply_ipv6_pool(&self) -> Result<()> {
        for (kind, spec) in [
            ("IPAddressPool", json!({"addresses": [LAN_POOL_IPV6]})),
            ("L2Advertisement", json!({"ipAddressPools": ["six"]})),
        ] {
            let object = json!({
                "apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": {"name": "six", "namespace": NAMESPACE}, "spec": spec,
            });
            self.apply(&object.to_string())?;
        }
        Ok(())
    }

    /// Applies `examples/quickstart.yaml` unchanged and waits until its pods are ready.
    ///
    /// # Errors
    /// When kubectl fails, or a pod does not become ready.
    pub fn apply_quickstart(&self) -> Result<()> {
        self.apply(&fs::read_to_string(checkout().join("examples/quickstart.yaml"))?)?;
        self.kubectl(&["rollout", "status", "deployment/nginx-deployment", "--timeout=60s"])?;
        Ok(())
    }

    /// Waits until the controller and all speakers are ready.
    ///
    /// # Errors
    /// When one of them does not become ready.
    pub fn wait_for_lodestone(&self) -> Result<()> {
        for workload in ["deployment/lodestone-controller", "daemonset/lodestone-speaker"] {
            self.kubectl(&["-n", NAMESPACE, "rollout", "status", workload, "--timeout=90s"])?;
        }
        Ok(())
    }
}
