//! The control plane: etcd, the API server, the controller manager and the scheduler.

use std::net::IpAddr;

use anyhow::Result;

use crate::{
    binaries::Binaries,
    network::{POD_RANGES, SERVICE_RANGES, node_addresses},
    pki::Authority,
    process::Launch,
    spec::Spec,
    state_dir::StateDir,
};

/// The processes of the control plane, on the node `cp`.
pub(crate) struct ControlPlane<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) state: &'a StateDir,
    pub(crate) binaries: &'a Binaries,
}

/// etcd and the API server, in the order of their start.
pub(crate) const API_SERVER_PARTS: [&str; 2] = ["etcd", "kube-apiserver"];

impl ControlPlane<'_> {
    /// The address and port of the API server on the node network.
    pub(crate) fn api_server_address(spec: &Spec) -> String {
        format!("{}:6443", node_addresses(spec, 0).ipv4)
    }

    /// Issues the certificates and kubeconfigs of all components and of the administrator.
    pub(crate) fn issue_credentials(&self, authority: &Authority) -> Result<()> {
        let server = format!("https://{}", Self::api_server_address(self.spec));
        let node = node_addresses(self.spec, 0);
        let addresses: Vec<IpAddr> = ["127.0.0.1", "10.96.0.1", "fd00:96::1", &node.ipv4, &node.ipv6]
            .iter()
            .flat_map(|ip| ip.parse())
            .collect();
        let names = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
        ];
        authority.issue_server("apiserver", &names, &addresses)?;
        authority.issue_client(
            "apiserver-kubelet",
            "kube-apiserver-kubelet-client",
            Some("system:masters"),
        )?;
        authority.issue_client("admin", "kubernetes-admin", Some("system:masters"))?;
        for part in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
            authority.issue_client(part, &format!("system:{part}"), None)?;
            authority.write_kubeconfig(part, &server)?;
        }
        for node in self.spec.nodes() {
            authority.issue_client(&node, &format!("system:node:{node}"), Some("system:nodes"))?;
            authority.write_kubeconfig(&node, &server)?;
        }
        Ok(())
    }

    /// Starts one component.
    pub(crate) fn start(&self, part: &str) -> Result<()> {
        let args = match part {
            "etcd" => self.etcd(),
            "kube-apiserver" => self.api_server(),
            "kube-controller-manager" => self.controller_manager(),
            _ => vec![
                format!("--kubeconfig={}", self.state.text("pki/kube-scheduler.kubeconfig")),
                "--leader-elect=false".to_owned(),
            ],
        };
        self.state.daemon(part).start(&Launch {
            namespace: self.spec.namespace("cp"),
            program: &self.binaries.path(part),
            args: &args,
            log: self.state.log(part),
            search_path: self.binaries.search_path(),
        })
    }

    fn etcd(&self) -> Vec<String> {
        vec![
            format!("--data-dir={}", self.state.text("etcd")),
            "--listen-client-urls=http://127.0.0.1:2379".to_owned(),
            "--advertise-client-urls=http://127.0.0.1:2379".to_owned(),
            "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
            "--initial-advertise-peer-urls=http://127.0.0.1:2380".to_owned(),
            "--initial-cluster=default=http://127.0.0.1:2380".to_owned(),
            // No test cuts the power of the machine itself, so etcd need not wait for the disk.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ]
    }

    fn api_server(&self) -> Vec<String> {
        let pki = |name: &str| self.state.text(&format!("pki/{name}"));
        vec![
            "--etcd-servers=http://127.0.0.1:2379".to_owned(),
            "--bind-address=0.0.0.0".to_owned(),
            "--secure-port=6443".to_owned(),
            format!("--advertise-address={}", node_addresses(self.spec, 0).ipv4),
            format!("--client-ca-file={}", pki("ca.crt")),
            format!("--tls-cert-file={}", pki("apiserver.crt")),
            format!("--tls-private-key-file={}", pki("apiserver.key")),
            format!("--kubelet-client-certificate={}", pki("apiserver-kubelet.crt")),
            format!("--kubelet-client-key={}", pki("apiserver-kubelet.key")),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
            format!("--service-account-key-file={}", pki("sa.pub")),
            format!("--service-account-signing-key-file={}", pki("sa.key")),
            format!("--service-cluster-ip-range={},{}", SERVICE_RANGES.0, SERVICE_RANGES.1),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
            // The API server then calls a webhook at its pod's address, without kube-proxy.
            "--enable-aggregator-routing=true".to_owned(),
        ]
    }

    fn controller_manager(&self) -> Vec<String> {
        vec![
            format!(
                "--kubeconfig={}",
                self.state.text("pki/kube-controller-manager.kubeconfig")
            ),
            format!("--root-ca-file={}", self.state.text("pki/ca.crt")),
            format!("--service-account-private-key-file={}", self.state.text("pki/sa.key")),
            format!("--cluster-cidr={},{}", POD_RANGES.0, POD_RANGES.1),
            format!("--service-cluster-ip-range={},{}", SERVICE_RANGES.0, SERVICE_RANGES.1),
            "--allocate-node-cidrs=false".to_owned(),
            "--use-service-account-credentials=true".to_owned(),
            "--leader-elect=false".to_owned(),
        ]
    }
}
