//! Lodestone in the cluster, installed as a user installs it.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::{cluster::Cluster, network::LAN_POOL_IPV6, wait::wait_for};

/// The namespace that Lodestone is installed in.
pub const NAMESPACE: &str = "metallb-system";

/// The folder of the checkout.
#[must_use]
pub fn checkout() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The archives that `make images` has written: those of Lodestone and those of the tests.
///
/// # Errors
/// When there are none.
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
    /// `helm install` of the chart of this checkout, and waits until all of it runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn install_lodestone(&self, values: &[&str]) -> Result<()> {
        self.release(&["install", "--create-namespace"], values)
    }

    /// `helm upgrade` to these values and no others, and waits until all of it runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn upgrade_lodestone(&self, values: &[&str]) -> Result<()> {
        self.release(&["upgrade", "--reset-values"], values)
    }

    fn release(&self, how: &[&str], values: &[&str]) -> Result<()> {
        let chart = checkout().join("charts/lodestone");
        let chart = chart.to_str().context("the path of the chart is no text")?;
        let mut args = [how, &["lodestone", chart, "-n", NAMESPACE]].concat();
        for value in values {
            args.extend(["--set", value]);
        }
        self.helm(&args)?;
        self.wait_for_lodestone()
    }

    /// A pool of IPv6 addresses of the LAN, advertised everywhere.
    ///
    /// # Errors
    /// When it is refused.
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

    /// Applies the manifests of the README, as they stand, and waits until their pods are ready.
    ///
    /// # Errors
    /// When they are refused, or do not get ready.
    pub fn apply_quickstart(&self) -> Result<()> {
        self.apply(&std::fs::read_to_string(checkout().join("examples/quickstart.yaml"))?)?;
        self.kubectl(&["rollout", "status", "deployment/nginx-deployment", "--timeout=60s"])?;
        Ok(())
    }

    /// Waits until the controller and all speakers are ready.
    ///
    /// # Errors
    /// When they do not get so.
    pub fn wait_for_lodestone(&self) -> Result<()> {
        for what in ["deployment/lodestone-controller", "daemonset/lodestone-speaker"] {
            self.kubectl(&["-n", NAMESPACE, "rollout", "status", what, "--timeout=90s"])?;
        }
        Ok(())
    }

    /// The pod of a component (`controller`, or `speaker` with the name of the node).
    ///
    /// # Errors
    /// When there is none.
    pub fn pod_of(&self, component: &str, node: Option<&str>) -> Result<String> {
        let selector = format!("app.kubernetes.io/component={component}");
        let field = node.map_or_else(
            || "status.phase=Running".to_owned(),
            |node| format!("spec.nodeName={node}"),
        );
        let args = [
            "-n",
            NAMESPACE,
            "get",
            "pods",
            "-l",
            &selector,
            "--field-selector",
            &field,
            "-o",
            "name",
        ];
        let name = self.kubectl(&args)?;
        let name = name.trim().trim_start_matches("pod/").to_owned();
        if name.is_empty() || name.contains('\n') {
            bail!("not one pod of {component}: {name:?}");
        }
        Ok(name)
    }

    /// The node that answers for an address, once exactly one MAC does. Of an IPv6 address it is the one that the client's kernel finds, and the
    /// address has to be a Service's that serves HTTP.
    ///
    /// # Errors
    /// When that does not become so, or no node has that MAC.
    pub fn owner_of(&self, address: &str) -> Result<String> {
        let client = self.host("client1");
        let macs = wait_for(&format!("one answer for {address}"), Duration::from_secs(60), || {
            if address.contains(':') {
                client.forget_neighbours()?;
                // Whether or not it answers at once.
                let answered = client.http(address, 80).is_ok();
                let mac = client.neighbour(address)?.filter(|_| answered);
                return Ok(mac.map(|mac| BTreeSet::from([mac])));
            }
            Ok(Some(client.who_has(address)?).filter(|macs| macs.len() == 1))
        })?;
        let has = |node: &String| {
            self.host(node)
                .mac(self.lan_interface())
                .is_ok_and(|mac| macs.contains(&mac))
        };
        let mut nodes = self.spec().nodes().into_iter();
        nodes.find(has).with_context(|| format!("no node has any of {macs:?}"))
    }

    /// The first address in the status of a Service, once it has one.
    ///
    /// # Errors
    /// When it gets none.
    pub fn address_of(&self, namespace: &str, service: &str) -> Result<String> {
        wait_for(
            &format!("an address of {namespace}/{service}"),
            Duration::from_secs(60),
            || Ok(Some(self.status_address(namespace, service)?).filter(|address| !address.is_empty())),
        )
    }

    /// The first address in the status of a Service as it is now; empty: none.
    ///
    /// # Errors
    /// When there is no such Service.
    pub fn status_address(&self, namespace: &str, service: &str) -> Result<String> {
        let path = "jsonpath={.status.loadBalancer.ingress[0].ip}";
        self.kubectl(&["-n", namespace, "get", "service", service, "-o", path])
    }

    /// Waits for an event of this reason on an object, and gives its text.
    ///
    /// # Errors
    /// When none comes.
    pub fn event(&self, namespace: &str, object: &str, reason: &str) -> Result<String> {
        let field = format!("involvedObject.name={object},reason={reason}");
        wait_for(
            &format!("the event {reason} on {object}"),
            Duration::from_secs(60),
            || {
                let events = self.get(&["-n", namespace, "events", "--field-selector", &field])?;
                let event = &events["items"][0];
                let text = format!(
                    "{}: {}",
                    event["type"].as_str().unwrap_or_default(),
                    event["message"].as_str().unwrap_or_default()
                );
                Ok((!event.is_null()).then_some(text))
            },
        )
    }
}
