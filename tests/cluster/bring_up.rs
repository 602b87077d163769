//! Starting a cluster, part by part, until every node is Ready.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};

use crate::{
    binaries::Binaries,
    cgroups::set_cpu_weight,
    cluster::Cluster,
    control_plane::ControlPlane,
    machine::raise_inotify_limit,
    network_setup,
    node::NodeHost,
    pki::{Authority, write_kubeconfig},
    spec::Spec,
    state_dir::StateDir,
    supervisor,
    teardown::{take_down, take_down_orphans},
    wait::{wait_for, wait_until},
};

/// How long the API server, and after it the nodes, may take to become ready.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

impl Cluster {
    /// Starts a cluster and waits until every node is Ready. `supervisor` is the path of the
    /// program `cluster`.
    ///
    /// # Errors
    /// When a cluster of that name exists, or a component does not start. In the second case
    /// everything that was started is taken down again.
    pub fn up(spec: Spec, supervisor: &Path) -> Result<Self> {
        let binaries = Binaries::provide()?;
        take_down_orphans();
        raise_inotify_limit()?;
        set_cpu_weight()?;
        let state = StateDir::of(&spec.name);
        if state.exists() {
            bail!(
                "the cluster {0} exists already; take it down first: cluster down {0}",
                spec.name
            );
        }
        state.create(&spec)?;
        let start = Instant::now();
        let mut cluster = Self::new(spec, state, binaries);
        if let Err(error) = cluster.bring_up(supervisor) {
            eprintln!("last log lines of each component:\n{}", cluster.state().log_tails());
            // Take it down here, so that nothing is left for the supervisor to do.
            let name = &cluster.spec().name;
            if let Err(error) = take_down(name) {
                eprintln!("can't take down the cluster {name}: {error:#}");
            }
            return Err(error.context(format!("the cluster {name} did not start")));
        }
        eprintln!(
            "cluster {}: {} nodes Ready after {:.1} s",
            cluster.spec().name,
            cluster.spec().nodes().len(),
            start.elapsed().as_secs_f64()
        );
        Ok(cluster)
    }

    fn bring_up(&mut self, supervisor: &Path) -> Result<()> {
        network_setup::create(self.spec())?;
        let (pipe, port) = supervisor::start(supervisor, self.spec(), self.state())?;
        // A detached cluster outlives this process: its supervisor ignores the pipe.
        if self.spec().owned {
            self.hold(pipe);
        }
        let control_plane = ControlPlane {
            spec: self.spec(),
            state: self.state(),
            binaries: self.binaries(),
        };
        control_plane.start("etcd")?;
        let authority = Authority::create(self.state())?;
        control_plane.issue_credentials(&authority)?;
        control_plane.start("kube-apiserver")?;
        let server = format!("https://127.0.0.1:{port}");
        write_kubeconfig(self.state(), "admin", &server, &self.state().kubeconfig())?;
        self.binaries()
            .link_into(&self.state().join("bin"), &["kubectl", "helm"])?;
        self.start_nodes(&control_plane)?;
        self.wait_for_nodes()
    }

    /// Starts the nodes and the rest of the control plane. The nodes import their images while the
    /// API server starts.
    fn start_nodes(&self, control_plane: &ControlPlane<'_>) -> Result<()> {
        let nodes: Vec<NodeHost<'_>> = self
            .spec()
            .nodes()
            .iter()
            .map(|name| self.node(name))
            .collect::<Result<_>>()?;
        for node in &nodes {
            node.configure_containerd()?;
            node.start_containerd()?;
        }
        thread::scope(|scope| {
            let imports: Vec<_> = nodes.iter().map(|node| scope.spawn(|| node.import_images())).collect();
            self.wait_for_api_server()?;
            for part in ["kube-controller-manager", "kube-scheduler"] {
                control_plane.start(part)?;
            }
            for import in imports {
                import.join().map_err(|_| anyhow!("an image import panicked"))??;
            }
            anyhow::Ok(())
        })?;
        nodes.iter().try_for_each(NodeHost::start_kubernetes)
    }

    pub(crate) fn wait_for_api_server(&self) -> Result<()> {
        wait_until("the API server", LIMIT, || self.api_server_is_ready())
    }

    pub(crate) fn api_server_is_ready(&self) -> bool {
        // While nothing listens on its port, kubectl without a timeout waits for seconds.
        self.kubectl(&["get", "--raw=/readyz", "--request-timeout=5s"])
            .is_ok_and(|answer| answer == "ok")
    }

    fn wait_for_nodes(&self) -> Result<()> {
        let expected = self.spec().nodes().len();
        wait_for("every node to be Ready", LIMIT, || {
            let path = "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
            let ready = self.kubectl(&["get", "nodes", "-o", path])?;
            Ok((ready.split(' ').filter(|status| *status == "True").count() == expected).then_some(()))
        })?;
        // NodeRestriction forbids a kubelet to set this label on its own node.
        let label = "node-role.kubernetes.io/control-plane=";
        self.kubectl(&["label", "--overwrite", "node", "cp", label])?;
        Ok(())
    }
}
