//! The credentials that the kubelet mounts into a pod, for a process of a test that runs outside
//! one.

use std::{fs, path::PathBuf, process::Command};

use kube::config::Kubeconfig;
use lodestone_tests::{Cluster, NAMESPACE};

/// A directory that takes the place of `/run` for a process. `/var/run` is a link to `/run`.
#[derive(Debug)]
pub(super) struct PodCredentials {
    run: PathBuf,
    server: http::Uri,
}

impl PodCredentials {
    /// Creates a ServiceAccount that may do everything, and the files of a pod that has it.
    pub(super) fn create(cluster: &Cluster, account: &str) -> Self {
        cluster
            .kubectl(&["-n", NAMESPACE, "create", "serviceaccount", account])
            .unwrap();
        let subject = format!("--serviceaccount={NAMESPACE}:{account}");
        cluster
            .kubectl(&[
                "create",
                "clusterrolebinding",
                account,
                "--clusterrole=cluster-admin",
                &subject,
            ])
            .unwrap();
        let token = cluster.kubectl(&["-n", NAMESPACE, "create", "token", account]).unwrap();
        let run = cluster.state().path().join(format!("pod-{account}"));
        let files = run.join("secrets/kubernetes.io/serviceaccount");
        fs::create_dir_all(&files).unwrap();
        fs::copy(cluster.state().path().join("pki/ca.crt"), files.join("ca.crt")).unwrap();
        fs::write(files.join("namespace"), NAMESPACE).unwrap();
        fs::write(files.join("token"), token.trim()).unwrap();
        let user = Kubeconfig::read_from(cluster.state().kubeconfig()).unwrap();
        let server = user.clusters[0].cluster.as_ref().unwrap().server.as_ref().unwrap();
        Self {
            run,
            server: server.parse().unwrap(),
        }
    }

    /// A command that runs `program` with the credentials. It has the process id of the program.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", r#"mount --bind "$0" /run && exec "$@""#])
            .arg(&self.run)
            .arg(program)
            .env("KUBERNETES_SERVICE_HOST", self.server.host().unwrap())
            .env("KUBERNETES_SERVICE_PORT", self.server.port_u16().unwrap().to_string());
        command
    }
}
