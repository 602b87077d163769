//! What runs on a node: containerd with a CNI bridge, kubelet, kube-proxy.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::{
    binaries::Binaries,
    image::PAUSE_IMAGE,
    machine::share_mounts,
    network::{POD_RANGES, node_addresses},
    process::Tool,
    spec::Spec,
    state_dir::StateDir,
    wait::wait_for,
};

/// The parts of a node; each of them is the name of a pid file and a log, behind the node's name.
pub(crate) const NODE_PARTS: [&str; 3] = ["containerd", "kubelet", "kube-proxy"];

/// Runs the kubelet (`"$@"`) in a mount namespace of its own, with the folder `$0` where the socket for device plugins is. That place is the
/// same for every kubelet and can't be set: one that opens its socket while another one does so, too, gives up (pkg/kubelet/cm/devicemanager/
/// plugin/v1beta1/server.go, `Start`: the files there are removed, then it listens).
const WITH_OWN_DEVICE_PLUGINS: &str = r#"set -e
place=/var/lib/kubelet/device-plugins
mkdir -p "$place" "$0"
mount --make-private "$(findmnt --noheadings --output TARGET --target "$place")"
mount --bind "$0" "$place"
exec "$@""#;

/// One node of the cluster.
pub(crate) struct Node<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) state: &'a StateDir,
    pub(crate) binaries: &'a Binaries,
    pub(crate) index: usize,
    pub(crate) name: String,
}

impl Node<'_> {
    fn file(&self, name: &str) -> String {
        self.state.text(&format!("{}/{name}", self.name))
    }

    fn socket(&self) -> String {
        self.file("c.sock")
    }

    fn start(&self, part: &str, args: &[String]) -> Result<()> {
        self.start_program(part, &self.binaries.path(part), args)
    }

    fn start_program(&self, part: &str, program: &Path, args: &[String]) -> Result<()> {
        let name = format!("{}-{part}", self.name);
        self.state.daemon(&name).start(
            &self.spec.namespace(&self.name),
            program,
            args,
            &self.state.log(&name),
            &self.binaries.search_path(),
        )
    }

    /// Writes its configuration and starts containerd.
    pub(crate) fn start_containerd(&self) -> Result<()> {
        fs::create_dir_all(self.file("cni"))?;
        self.binaries
            .link_into(Path::new(&self.file("cni-bin")), &["bridge", "host-local", "loopback"])?;
        fs::write(
            self.file("cni/10-bridge.conflist"),
            serde_json::to_vec_pretty(&self.cni())?,
        )?;
        fs::write(self.file("containerd.toml"), self.containerd())?;
        self.start("containerd", &[format!("--config={}", self.file("containerd.toml"))])
    }

    fn ctr(&self, args: &[&str]) -> Tool {
        let address = format!("--address={}", self.socket());
        Tool::new(self.binaries.path("ctr"))
            .args([address.as_str(), "--namespace=k8s.io"])
            .args(args)
    }

    /// Waits until containerd answers: a kubelet that does not find it gives up.
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
            bail!("containerd of {} has ended", self.name);
        }
        Ok(())
    }

    /// Gives containerd the images, once it answers.
    pub(crate) fn import_images(&self) -> Result<()> {
        self.wait_for_containerd()?;
        for image in &self.spec.images {
            let path = image.to_str().context("the path of an image is no text")?;
            self.ctr(&["images", "import", "--local", path]).run()?;
        }
        Ok(())
    }

    /// Starts kubelet and kube-proxy.
    pub(crate) fn start_kubernetes(&self) -> Result<()> {
        self.start_kubelet()?;
        self.start_proxy()
    }

    /// Starts every part anew, as after a power failure.
    pub(crate) fn start_all(&self) -> Result<()> {
        self.start("containerd", &[format!("--config={}", self.file("containerd.toml"))])?;
        self.wait_for_containerd()?;
        self.start_kubernetes()
    }

    fn start_kubelet(&self) -> Result<()> {
        fs::write(self.file("kubelet.json"), serde_json::to_vec_pretty(&self.kubelet())?)?;
        let root = self.file("kubelet");
        // The volumes that it mounts are for its containerd, too.
        share_mounts(Path::new(&root))?;
        let addresses = node_addresses(self.spec.topology, self.index);
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
                // These limits belong to the machine and not to a network namespace.
                "--conntrack-max-per-core=0".to_owned(),
                "--conntrack-min=0".to_owned(),
                "--conntrack-tcp-timeout-established=0s".to_owned(),
                "--conntrack-tcp-timeout-close-wait=0s".to_owned(),
            ],
        )
    }

    fn cni(&self) -> serde_json::Value {
        let addresses = node_addresses(self.spec.topology, self.index);
        json!({
            "cniVersion": "1.0.0", "name": "pods",
            "plugins": [{
                "type": "bridge", "bridge": "cni0", "isGateway": true, "isDefaultGateway": true, "hairpinMode": true,
                "ipam": {
                    "type": "host-local", "dataDir": self.file("ipam"),
                    "ranges": [[{"subnet": addresses.pods_ipv4}], [{"subnet": addresses.pods_ipv6}]],
                },
            }],
        })
    }

    fn containerd(&self) -> String {
        format!(
            r#"version = 3
root = "{root}"
state = "{run}"
[grpc]
address = "{socket}"
[ttrpc]
address = "{socket}.ttrpc"
# Its socket would be the same for all nodes.
[plugins.'io.containerd.nri.v1.nri']
disable = true
[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime']
# A score can't be lowered without CAP_SYS_RESOURCE, and runc dies of trying.
restrict_oom_score_adj = true
# Their mounts go with the folder of the cluster.
netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{cni_bin}"]
conf_dir = "{cni}"
"#,
            root = self.file("containerd"),
            run = self.file("run"),
            socket = self.socket(),
            cni_bin = self.file("cni-bin"),
            cni = self.file("cni"),
        )
    }

    fn kubelet(&self) -> serde_json::Value {
        let mut config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {
                "x509": {"clientCAFile": self.state.join("pki/ca.crt")},
                "anonymous": {"enabled": false}, "webhook": {"enabled": true},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": format!("unix://{}", self.socket()),
            // The machine's cgroups are of version 1, without systemd, and shared by all nodes.
            "cgroupDriver": "cgroupfs", "cgroupRoot": cgroup(self.spec), "cgroupsPerQOS": false,
            "enforceNodeAllocatable": [], "failCgroupV1": false, "failSwapOn": false, "oomScoreAdj": 0,
            "localStorageCapacityIsolation": false, "evictionHard": {}, "resolvConf": "",
            "imageGCHighThresholdPercent": 100, "imageMinimumGCAge": "24h",
            "podLogsDir": self.file("pod-logs"), "volumePluginDir": self.file("volume-plugins"),
        });
        if self.index == 0 {
            config["registerWithTaints"] =
                json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]);
        }
        config
    }
}

/// The cgroup below which all pods of a cluster are.
pub(crate) fn cgroup(spec: &Spec) -> String {
    format!("/lodestone-{}", spec.name)
}
