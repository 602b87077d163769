//! The configuration of a node's components: CNI, containerd, kubelet.

use serde_json::json;

use crate::{
    image::PAUSE_IMAGE,
    network::{POD_BRIDGE, node_addresses},
    node::NodeHost,
    overlay::OVERLAY_MTU,
    spec::Layout,
};

impl NodeHost<'_> {
    /// The CNI configuration: a bridge for the pods of this node.
    pub(crate) fn cni_config(&self) -> serde_json::Value {
        // 0: the plugin leaves the kernel's default.
        let mtu = if self.spec.has(Layout::Overlay) { OVERLAY_MTU } else { 0 };
        let addresses = node_addresses(self.spec, self.index);
        json!({
            "cniVersion": "1.0.0", "name": "pods",
            "plugins": [{
                "type": "bridge", "bridge": POD_BRIDGE, "isGateway": true, "isDefaultGateway": true, "hairpinMode": true, "mtu": mtu,
                "ipam": {
                    "type": "host-local", "dataDir": self.file("ipam"),
                    "ranges": [[{"subnet": addresses.pods_ipv4}], [{"subnet": addresses.pods_ipv6}]],
                },
            }],
        })
    }

    pub(crate) fn containerd_config(&self) -> String {
        format!(
            r#"version = 3
root = "{root}"
state = "{run}"
[grpc]
address = "{socket}"
[ttrpc]
address = "{socket}.ttrpc"
# All nodes would share its socket, whose path is fixed.
[plugins.'io.containerd.nri.v1.nri']
disable = true
[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime']
# runc fails when it lowers a score without CAP_SYS_RESOURCE.
restrict_oom_score_adj = true
# Their mounts then disappear with the state directory of the cluster.
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

    pub(crate) fn kubelet_config(&self) -> serde_json::Value {
        let mut config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {
                "x509": {"clientCAFile": self.state.join("pki/ca.crt")},
                "anonymous": {"enabled": false}, "webhook": {"enabled": true},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": format!("unix://{}", self.socket()),
            // The machine has cgroups v1 without systemd, and all nodes share them (see `cgroups`).
            "cgroupDriver": "cgroupfs", "cgroupsPerQOS": false,
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
