//! Faults of whole machines: a node without power, and a control plane without its API server.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::{
    bring_up::LIMIT,
    cluster::Cluster,
    control_plane::{API_SERVER_PARTS, ControlPlane},
    link_faults::LossRule,
    node::NODE_PARTS,
    teardown::kill_processes,
    wait::{wait_for, wait_until},
};

impl Cluster {
    /// Kills the API server and etcd.
    ///
    /// # Errors
    /// When they survive.
    pub fn stop_api_server(&self) -> Result<()> {
        API_SERVER_PARTS
            .iter()
            .rev()
            .try_for_each(|part| self.state().daemon(part).kill())
    }

    /// Starts etcd and the API server again with their data. Waits until the API server is ready. A
    /// part that ends meanwhile is started again, as a kubelet does with static pods. The API
    /// server ends if etcd needs too long.
    ///
    /// # Errors
    /// When they do not start.
    pub fn start_api_server(&self) -> Result<()> {
        let control_plane = ControlPlane {
            spec: self.spec(),
            state: self.state(),
            binaries: self.binaries(),
        };
        API_SERVER_PARTS.iter().try_for_each(|part| control_plane.start(part))?;
        let ready = wait_for("the API server", LIMIT, || {
            for part in API_SERVER_PARTS {
                if self.state().daemon(part).pid().is_none() {
                    eprintln!("{part} has ended: it is started again");
                    control_plane.start(part)?;
                }
            }
            Ok(self.api_server_is_ready().then_some(()))
        });
        ready.with_context(|| format!("last log lines of each component:\n{}", self.state().log_tails()))
    }

    /// Cuts the power of a node. Its links drop every packet first, so that nothing leaves the node
    /// while its processes are killed.
    ///
    /// # Errors
    /// When the packet filter refuses a rule, or a process survives.
    pub fn power_off(&self, node: &str) -> Result<()> {
        for cable in self.cables(node)? {
            self.set_loss(&cable.port, LossRule::All)?;
        }
        let daemons: Vec<_> = NODE_PARTS
            .iter()
            .map(|part| self.state().daemon(&format!("{node}-{part}")))
            .collect();
        kill_processes(&daemons, &self.state().path().join(node))
    }

    /// Restores the power of a node: its links and its processes.
    ///
    /// # Errors
    /// When a component of the node does not start.
    pub fn power_on(&self, node: &str) -> Result<()> {
        self.restore_links(node)?;
        self.node(node)?.start_all()
    }

    /// Restores the power of a node and waits until the node is Ready. A node whose object was
    /// deleted meanwhile registers again.
    ///
    /// # Errors
    /// When a component of the node does not start, or the node does not become Ready.
    pub fn bring_back(&self, node: &str) -> Result<()> {
        self.power_on(node)?;
        wait_until(&format!("{node} to register"), Duration::from_secs(60), || {
            self.get(&["node", node]).is_ok()
        })?;
        let node = format!("node/{node}");
        self.kubectl(&["wait", "--for=condition=Ready", &node, "--timeout=120s"])?;
        Ok(())
    }
}
