//! A running cluster, and kubectl and helm in it.

use std::{process::ChildStdin, thread, time::Duration};

use anyhow::{Context, Result};

use crate::{
    binaries::Binaries,
    netns::Netns,
    network::{self, NodeAddresses},
    node::NodeHost,
    spec::Spec,
    state_dir::StateDir,
    tool::Tool,
    wait::wait_until,
};

/// A running cluster. Dropping it takes the cluster down, unless the cluster is detached
/// ([`Spec::detached`]) or this value came from [`Cluster::attach`].
#[derive(Debug)]
pub struct Cluster {
    spec: Spec,
    state: StateDir,
    binaries: Binaries,
    /// The supervisor takes the cluster down when this pipe closes.
    supervisor_pipe: Option<ChildStdin>,
}

impl Cluster {
    pub(crate) const fn new(spec: Spec, state: StateDir, binaries: Binaries) -> Self {
        Self {
            spec,
            state,
            binaries,
            supervisor_pipe: None,
        }
    }

    /// Ties the life of the cluster to this value: `pipe` closes when it is dropped.
    pub(crate) fn hold(&mut self, pipe: ChildStdin) {
        self.supervisor_pipe = Some(pipe);
    }

    /// Returns the running cluster of that name, without owning it.
    ///
    /// # Errors
    /// When no cluster has that name.
    pub fn attach(name: &str) -> Result<Self> {
        let state = StateDir::of(name);
        let spec = state.spec()?;
        Ok(Self::new(spec, state, Binaries::provide()?))
    }

    /// The parameters that the cluster was created with.
    #[must_use]
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The state directory of the cluster.
    #[must_use]
    pub const fn state(&self) -> &StateDir {
        &self.state
    }

    pub(crate) const fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The network namespace of a node or of a client.
    #[must_use]
    pub fn host(&self, name: &str) -> Netns {
        Netns::new(self.spec.namespace(name))
    }

    /// The name of the interface that has the address of each node on the LAN.
    #[must_use]
    pub fn lan_interface(&self) -> &'static str {
        network::lan_interface(&self.spec)
    }

    /// The addresses of a node.
    ///
    /// # Errors
    /// When no node has that name.
    pub fn addresses(&self, node: &str) -> Result<NodeAddresses> {
        Ok(network::node_addresses(&self.spec, self.node_index(node)?))
    }

    /// The processes of a node.
    pub(crate) fn node(&self, name: &str) -> Result<NodeHost<'_>> {
        Ok(NodeHost {
            spec: &self.spec,
            state: &self.state,
            binaries: &self.binaries,
            index: self.node_index(name)?,
            name: name.to_owned(),
        })
    }

    fn node_index(&self, node: &str) -> Result<usize> {
        let nodes = self.spec.nodes();
        let index = nodes.iter().position(|name| name == node);
        index.with_context(|| format!("no node is called {node}"))
    }

    /// A program of the cluster (kubectl, helm) with the administrator's credentials.
    #[must_use]
    pub fn user_tool(&self, program: &str) -> Tool {
        self.for_user(Tool::new(self.binaries.path(program)))
    }

    /// Runs a script of shell in which kubectl and helm have the administrator's credentials.
    /// Returns its output.
    ///
    /// # Errors
    /// When a command fails.
    pub fn shell(&self, script: &str) -> Result<String> {
        let shell = Tool::new("sh").env("PATH", self.binaries.search_path());
        self.for_user(shell).args(["-ec", script]).run()
    }

    fn for_user(&self, tool: Tool) -> Tool {
        let helm = self.state.text("helm");
        tool.env("KUBECONFIG", self.state.kubeconfig())
            .env("HELM_CACHE_HOME", &helm)
            .env("HELM_CONFIG_HOME", &helm)
            .env("HELM_DATA_HOME", &helm)
    }

    /// Runs kubectl as the administrator and returns its output.
    ///
    /// # Errors
    /// When kubectl fails.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.user_tool("kubectl").args(args).run()
    }

    /// Runs `kubectl get … -o json` and returns the parsed output.
    ///
    /// # Errors
    /// When kubectl fails.
    pub fn get(&self, args: &[&str]) -> Result<serde_json::Value> {
        let text = self.user_tool("kubectl").args(["get", "-o", "json"]).args(args).run()?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Applies a manifest with `kubectl apply`.
    ///
    /// # Errors
    /// When kubectl fails.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        self.user_tool("kubectl")
            .args(["apply", "-f", "-"])
            .input(manifest)
            .run()
    }

    /// Runs helm as the administrator and returns its output.
    ///
    /// # Errors
    /// When helm fails.
    pub fn helm(&self, args: &[&str]) -> Result<String> {
        self.user_tool("helm").args(args).run()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(pipe) = self.supervisor_pipe.take() else {
            return;
        };
        let name = &self.spec.name;
        if thread::panicking() {
            eprintln!(
                "last log lines of each component of the cluster {name}:\n{}",
                self.state.log_tails()
            );
        }
        // The supervisor does the work: it finishes even if this process is killed meanwhile.
        drop(pipe);
        let gone = wait_until("the cluster to be removed", Duration::from_secs(120), || {
            !self.state.exists()
        });
        if let Err(error) = gone {
            eprintln!("the cluster {name} was not removed: {error:#}");
        }
    }
}
