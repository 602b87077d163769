//! What Lodestone does in a cluster, as users and clients on the LAN observe it.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{cluster::Cluster, lodestone::NAMESPACE, wait::wait_for};

/// The limit for every wait in this file.
const LIMIT: Duration = Duration::from_secs(60);

impl Cluster {
    /// The name of the pod of a component: `controller`, or `speaker` with the name of its node.
    ///
    /// # Errors
    /// When the component does not have exactly one pod there.
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
            bail!("expected one pod of {component}, found {name:?}");
        }
        Ok(name)
    }

    /// Waits until exactly one MAC answers for an address, and returns the node with that MAC.
    ///
    /// For an IPv4 address, `client1` counts the replies to ARP requests. For an IPv6 address it
    /// uses the entry that its kernel learns, and the Service at the address must serve HTTP.
    ///
    /// # Errors
    /// When this does not happen within 60 seconds, or no node has the MAC.
    pub fn owner_of(&self, address: &str) -> Result<String> {
        let client = self.host("client1");
        let macs = wait_for(&format!("exactly one MAC to answer for {address}"), LIMIT, || {
            if address.contains(':') {
                client.forget_neighbours()?;
                let answered = client.http(address, 80).is_ok();
                let mac = client.neighbour(address)?.filter(|_| answered);
                return Ok(mac.map(|mac| BTreeSet::from([mac])));
            }
            Ok(Some(client.who_has(address)?).filter(|macs| macs.len() == 1))
        })?;
        let has_mac = |node: &String| {
            self.host(node)
                .mac(self.lan_interface())
                .is_ok_and(|mac| macs.contains(&mac))
        };
        let mut nodes = self.spec().nodes().into_iter();
        nodes
            .find(has_mac)
            .with_context(|| format!("no node has one of the MACs {macs:?}"))
    }

    /// Waits until a Service has an address in its status, and returns the first one.
    ///
    /// # Errors
    /// When the Service gets no address within 60 seconds.
    pub fn address_of(&self, namespace: &str, service: &str) -> Result<String> {
        wait_for(&format!("an address of {namespace}/{service}"), LIMIT, || {
            Ok(Some(self.status_address(namespace, service)?).filter(|address| !address.is_empty()))
        })
    }

    /// The first address in the status of a Service; empty when it has none.
    ///
    /// # Errors
    /// When the Service does not exist.
    pub fn status_address(&self, namespace: &str, service: &str) -> Result<String> {
        let path = "jsonpath={.status.loadBalancer.ingress[0].ip}";
        self.kubectl(&["-n", namespace, "get", "service", service, "-o", path])
    }

    /// Waits for an event with this reason on an object. Returns the event as `TYPE: MESSAGE`.
    ///
    /// # Errors
    /// When no such event appears within 60 seconds.
    pub fn wait_for_event(&self, namespace: &str, object: &str, reason: &str) -> Result<String> {
        let field = format!("involvedObject.name={object},reason={reason}");
        wait_for(&format!("the event {reason} on {object}"), LIMIT, || {
            let events = self.get(&["-n", namespace, "events", "--field-selector", &field])?;
            let event = &events["items"][0];
            let text = format!(
                "{}: {}",
                event["type"].as_str().unwrap_or_default(),
                event["message"].as_str().unwrap_or_default()
            );
            Ok((!event.is_null()).then_some(text))
        })
    }
}
