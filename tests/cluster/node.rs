//! The processes of a node: containerd, kubelet, kube-proxy.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    binaries::Binaries,
    machine::share_mounts,
    network::{POD_RANGES, node_addresses},
    process::Launch,
    spec::Spec,
    state_dir::StateDir,
    tool::Tool,
    wait::wait_for,
};

/// The components of a node. `NODE-COMPONENT` is the name of the pid file and of the log.
pub(crate) const NODE_PARTS: [&str; 3] = ["containerd", "kubelet", "kube-proxy"];

/// Runs the kubelet (`"$@"`) in a mount namespace of its own, where the directory `$0` holds the
/// socket for device plugins.
///
/// The path of that directory is the same for every kubelet and can't be configured. A kubelet
/// removes the files in it and then listens (pkg/kubelet/cm/devicemanager/plugin/v1beta1/server.go,
/// `Start`). Two kubelets that do so at the same time collide, and one of them exits.
const WITH_OWN_DEVICE_PLUGINS: &str = r#"set -e
place=/var/lib/kubelet/device-plugins
mkdir -p "$place" "$0"
mount --make-private "$(findmnt --noheadings --output TARGET --target "$place")"
mount --bind "$0" "$place"
exec "$@""#;

/// One node of a cluster, as the set of its processes.
pub(crate) struct NodeHost<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) state: &'a StateDir,
    pub(crate) binaries: &'a Binaries,
    /// Its index in [`Spec::nodes`]: 0 is the control-plane node.
    pub(crate) index: usize,
    pub(crate) name: String,
}

impl NodeHost<'_> {
    /// The path of a file of this node.
    pub(crate) fn file(&self, name: &str) -> String {
        self.state.text(&format!("{}/{name}", self.name))
    }

    /// The path of containerd's socket.
    pub(crate) fn socket(&self) -> String {
        self.file("c.sock")
    }

    fn start(&self, part: &str, args: &[String]) -> Result<()> {
        self.start_program(part, &self.binaries.path(part), args)
    }

    fn start_program(&self, part: &str, program: &Path, args: &[String]) -> Result<()> {
        let name = format!("{}-{part}", self.name);
        self.state.daemon(&name).start(&Launch {
            namespace: self.spec.namespace(&self.name),
            program,
            args,
            log: self.state.log(&name),
            search_path: self.binaries.search_path(),
        })
    }

    /// Writes the configuration of containerd and of its CNI plugin.
    pub(crate) fn configure_containerd(&self) -> Result<()> {
        fs::create_dir_all(self.file("cni"))?;
        self.binaries
            .link_into(Path::new(&self.file("cni-bin")), &["bridge", "host-local", "loopback"])?;
        fs::write(
            self.file("cni/10-bridge.conflist"),
            serde_json::to_vec_pretty(&self.cni_config())?,
        )?;
        fs::write(self.file("containerd.toml"), self.containerd_config())?;
        Ok(())
    }

    /// Starts containerd.
    pub(crate) fn start_containerd(&self) -> Result<()> {
        self.start("containerd", &[format!("--config={}", self.file("containerd.toml"))])
    }

    fn ctr(&self, args: &[&str]) -> Tool {
        let address = format!("--address={}", self.socket());
        Tool::new(self.binaries.path("ctr"))
            .args([address.as_str(), "--namespace=k8s.io"])
            .args(args)
    }

    /// Waits until containerd answers. A kubelet that starts earlier exits.
    fn wait_for_containerd(&self) -> Result<()> {
        let daemon = self.state.daemon(&format!("{}-containerd", self.name));
        wait_for(&format!("containerd of {}", self.name), Duration::from_secs(60), || {
            let answers = self
                .ctr(&["version"])
                .output()
                .is_ok_and(|output| output.status.success());
            Ok((answers || daemon.pid().is_none()).then_some(()))
        })?;
        if daemon.pid().is_none() {
            bail!("containerd of {} has exited", self.name);
        }
        Ok(())
    }

    /// Waits until containerd answers, and imports the images of the spec.
    pub(crate) fn import_images(&self) -> Result<()> {
        self.wait_for_containerd()?;
        for image in &self.spec.images {
            let path = image.to_str().context("the path of an image is not UTF-8")?;
            self.ctr(&["images", "import", "--local", path]).run()?;
        }
        Ok(())
    }

    /// Starts kubelet and kube-proxy.
    pub(crate) fn start_kubernetes(&self) -> Result<()> {
        self.start_kubelet()?;
        self.start_proxy()
    }

    /// Starts every component of a node that is configured already, as after a power failure.
    pub(crate) fn start_all(&self) -> Result<()> {
        self.start_containerd()?;
        self.wait_for_containerd()?;
        self.start_kubernetes()
    }

    fn start_kubelet(&self) -> Result<()> {
        fs::write(
            self.file("kubelet.json"),
            serde_json::to_vec_pretty(&self.kubelet_config())?,
        )?;
        let root = self.file("kubelet");
        // The containerd of this node must see the volumes that the kubelet mounts.
        share_mounts(Path::new(&root))?;
        let addresses = node_addresses(self.spec, self.index);
        let mut command: Vec<String> = [
            "--mount",
            "--propagation=unchanged",
            "sh",
            "-c",
            WITH_OWN_DEVICE_PLUGINS,
        ]
        .map(str::to_owned)
        .to_vec();
        command.extend([
            self.file("device-plugins"),
            self.binaries.path("kubelet").display().to_string(),
            format!("--config={}", self.file("kubelet.json")),
            format!(
                "--kubeconfig={}",
                self.state.text(&format!("pki/{}.kubeconfig", self.name))
            ),
            format!("--hostname-override={}", self.name),
            format!("--node-ip={},{}", addresses.ipv4, addresses.ipv6),
            format!("--root-dir={root}"),
            format!("--cert-dir={}", self.file("kubelet-pki")),
        ]);
        self.start_program("kubelet", Path::new("unshare"), &command)
    }

    fn start_proxy(&self) -> Result<()> {
        self.start(
            "kube-proxy",
            &[
                format!("--kubeconfig={}", self.state.text("pki/kube-proxy.kubeconfig")),
                format!("--hostname-override={}", self.name),
                format!("--proxy-mode={}", self.spec.proxy_mode.flag()),
                format!("--cluster-cidr={},{}", POD_RANGES.0, POD_RANGES.1),
                // These limits apply to the whole machine, so kube-proxy must not change them.
                "--conntrack-max-per-core=0".to_owned(),
                "--conntrack-min=0".to_owned(),
                "--conntrack-tcp-timeout-established=0s".to_owned(),
                "--conntrack-tcp-timeout-close-wait=0s".to_owned(),
            ],
        )
    }
}
