//! Bringing a cluster up, and using it.

use std::{
    path::Path,
    process::ChildStdin,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{
    binaries::Binaries,
    control_plane::ControlPlane,
    machine::allow_inotify,
    netns::Netns,
    network::{self, NodeAddresses},
    node::Node,
    pki::{Authority, write_kubeconfig},
    process::Tool,
    spec::{Layout, Spec},
    state_dir::StateDir,
    supervisor,
    teardown::{sweep, take_down},
    wait::{wait_for, wait_until},
};

/// A running cluster. One that is owned is taken down when this is dropped.
pub struct Cluster {
    spec: Spec,
    state: StateDir,
    binaries: Binaries,
    /// The supervisor takes the cluster down when this pipe closes.
    sign_of_life: Option<ChildStdin>,
}

impl Cluster {
    /// Brings a cluster up and waits until every node is Ready. `supervisor` is the program `cluster`.
    ///
    /// # Errors
    /// When there is one of that name, or a part does not start; what there was of it is taken down.
    pub fn up(spec: Spec, supervisor: &Path) -> Result<Self> {
        let binaries = Binaries::provide()?;
        sweep();
        allow_inotify()?;
        let state = StateDir::of(&spec.name);
        if state.exists() {
            bail!(
                "there is a cluster {} already; take it down first: cluster down {}",
                spec.name,
                spec.name
            );
        }
        state.create(&spec)?;
        let start = Instant::now();
        let mut cluster = Self {
            spec,
            state,
            binaries,
            sign_of_life: None,
        };
        if let Err(error) = cluster.bring_up(supervisor) {
            eprintln!("the last words of its parts:\n{}", cluster.state.last_words());
            // Nothing is left then for the supervisor to do.
            if let Err(error) = take_down(&cluster.spec.name) {
                eprintln!("and can't take it down: {error:#}");
            }
            return Err(error.context(format!("the cluster {} does not come up", cluster.spec.name)));
        }
        eprintln!(
            "cluster {}: {} nodes Ready after {:.1} s",
            cluster.spec.name,
            cluster.spec.nodes().len(),
            start.elapsed().as_secs_f64()
        );
        Ok(cluster)
    }

    fn bring_up(&mut self, supervisor: &Path) -> Result<()> {
        network::create(&self.spec)?;
        let (pipe, port) = supervisor::start(supervisor, &self.spec, &self.state)?;
        // An unowned cluster outlives this process: its supervisor does not look at the pipe.
        self.sign_of_life = self.spec.owned.then_some(pipe);
        let (spec, state, binaries) = (&self.spec, &self.state, &self.binaries);
        let control_plane = ControlPlane { spec, state, binaries };
        control_plane.start("etcd")?;
        let authority = Authority::create(state)?;
        control_plane.credentials(&authority)?;
        control_plane.start("kube-apiserver")?;
        write_kubeconfig(
            state,
            "admin",
            &format!("https://127.0.0.1:{port}"),
            &state.kubeconfig(),
        )?;
        binaries.link_into(&state.join("bin"), &["kubectl", "helm"])?;
        let nodes: Vec<Node<'_>> = spec
            .nodes()
            .into_iter()
            .enumerate()
            .map(|(index, name)| Node {
                spec,
                state,
                binaries,
                index,
                name,
            })
            .collect();
        for node in &nodes {
            node.start_containerd()?;
        }
        thread::scope(|scope| {
            let imports: Vec<_> = nodes.iter().map(|node| scope.spawn(|| node.import_images())).collect();
            self.wait_for_api_server()?;
            for part in ["kube-controller-manager", "kube-scheduler"] {
                control_plane.start(part)?;
            }
            for import in imports {
                import.join().map_err(|_| anyhow!("an import of images panicked"))??;
            }
            anyhow::Ok(())
        })?;
        for node in &nodes {
            node.start_kubernetes()?;
        }
        self.wait_for_nodes()
    }

    /// The running cluster of that name, which this process does not own.
    ///
    /// # Errors
    /// When there is none.
    pub fn attach(name: &str) -> Result<Self> {
        let state = StateDir::of(name);
        let spec = state.spec()?;
        Ok(Self {
            spec,
            state,
            binaries: Binaries::provide()?,
            sign_of_life: None,
        })
    }

    pub(crate) fn wait_for_api_server(&self) -> Result<()> {
        wait_until("the API server", Duration::from_secs(120), || {
            // Before it listens at all kubectl would wait for seconds.
            self.kubectl(&["get", "--raw=/readyz", "--request-timeout=5s"])
                .is_ok_and(|answer| answer == "ok")
        })
    }

    fn wait_for_nodes(&self) -> Result<()> {
        let expected = self.spec.nodes().len();
        wait_for("every node to be Ready", Duration::from_secs(120), || {
            let path = "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
            let ready = self.kubectl(&["get", "nodes", "-o", path])?;
            Ok((ready.split(' ').filter(|status| *status == "True").count() == expected).then_some(()))
        })?;
        // A kubelet may not give itself this label.
        self.kubectl(&[
            "label",
            "--overwrite",
            "node",
            "cp",
            "node-role.kubernetes.io/control-plane=",
        ])?;
        Ok(())
    }

    /// What it was asked to be.
    #[must_use]
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Its folder.
    #[must_use]
    pub const fn state(&self) -> &StateDir {
        &self.state
    }

    pub(crate) const fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The namespace of a node or of a client.
    #[must_use]
    pub fn host(&self, name: &str) -> Netns {
        Netns::new(self.spec.namespace(name))
    }

    /// The layout of the cluster's networks.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.spec.topology
    }

    /// The name of every node's interface on the LAN.
    #[must_use]
    pub const fn lan_interface(&self) -> &'static str {
        network::lan_interface(self.layout())
    }

    /// The addresses of a node.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn addresses(&self, node: &str) -> Result<NodeAddresses> {
        let index = self
            .spec
            .nodes()
            .iter()
            .position(|name| name == node)
            .context("no such node")?;
        Ok(network::node_addresses(self.layout(), index))
    }

    /// A program of the cluster's own (kubectl, helm) with the user's credentials.
    #[must_use]
    pub fn user_tool(&self, program: &str) -> Tool {
        let helm = self.state.text("helm");
        Tool::new(self.binaries.path(program))
            .env("KUBECONFIG", self.state.kubeconfig())
            .env("HELM_CACHE_HOME", &helm)
            .env("HELM_CONFIG_HOME", &helm)
            .env("HELM_DATA_HOME", &helm)
    }

    /// Runs kubectl as the user.
    ///
    /// # Errors
    /// When it fails.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.user_tool("kubectl").args(args).run()
    }

    /// `kubectl get … -o json`.
    ///
    /// # Errors
    /// When it fails.
    pub fn get(&self, args: &[&str]) -> Result<serde_json::Value> {
        let text = self.user_tool("kubectl").args(["get", "-o", "json"]).args(args).run()?;
        Ok(serde_json::from_str(&text)?)
    }

    /// `kubectl apply` of a manifest.
    ///
    /// # Errors
    /// When it fails.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        self.user_tool("kubectl")
            .args(["apply", "-f", "-"])
            .input(manifest)
            .run()
    }

    /// Runs helm as the user.
    ///
    /// # Errors
    /// When it fails.
    pub fn helm(&self, args: &[&str]) -> Result<String> {
        self.user_tool("helm").args(args).run()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.spec.owned || self.sign_of_life.is_none() {
            return;
        }
        if thread::panicking() {
            eprintln!(
                "the last words of the cluster {}:\n{}",
                self.spec.name,
                self.state.last_words()
            );
        }
        // The supervisor does it: it goes on even if this process is killed meanwhile.
        drop(self.sign_of_life.take());
        let gone = wait_until("the cluster to go", Duration::from_secs(120), || !self.state.exists());
        if let Err(error) = gone {
            eprintln!("the cluster {} is not gone: {error:#}", self.spec.name);
        }
    }
}
