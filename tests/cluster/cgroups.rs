//! The cgroups of the containers, which all clusters on this machine have in common.
//!
//! A kubelet gives the pods of its node a cgroup with the weight of all its CPUs. The kubelets here
//! cannot (`cgroupsPerQOS` is off): all of them are on one machine. So containerd puts every
//! container directly below [`PARENT`], and the weight of that is set here.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::state_dir::StateDir;

/// Where the controllers of cgroups v1 are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// The parent of the cgroups of all containers: containerd's namespace for Kubernetes.
const PARENT: &str = "k8s.io";

/// The CPU weight of all containers beside the other processes of this machine. A kubelet sets 1024
/// for each CPU of its node. With the default, 1024 in all, a build beside the tests would keep the
/// speakers waiting for seconds, which no node does.
const CPU_WEIGHT: &str = "16384";

/// Gives the containers of all clusters the CPU weight that they have on nodes.
pub(crate) fn set_cpu_weight() -> Result<()> {
    let controller = Path::new(ROOT).join("cpu");
    // Cgroups v2 have no shares, and their kubelets need no help.
    if !controller.join("cpu.shares").exists() {
        return Ok(());
    }
    let parent = controller.join(PARENT);
    fs::create_dir_all(&parent)
        .and_then(|()| fs::write(parent.join("cpu.shares"), CPU_WEIGHT))
        .with_context(|| format!("can't set the CPU weight of {}", parent.display()))
}

/// The containers of a cluster that exist or did not end properly, by containerd's files.
pub(crate) fn container_ids(state: &StateDir) -> Vec<String> {
    let Ok(nodes) = fs::read_dir(state.path()) else {
        return Vec::new();
    };
    let tasks = nodes
        .flatten()
        .map(|node| node.path().join("run/io.containerd.runtime.v2.task").join(PARENT));
    let containers = tasks.filter_map(|tasks| fs::read_dir(tasks).ok()).flatten().flatten();
    containers
        .filter_map(|container| container.file_name().into_string().ok())
        .collect()
}

/// Removes the cgroups of these containers. A container whose shim was killed leaves them behind.
pub(crate) fn remove_cgroups(containers: &[String]) -> Result<()> {
    for controller in fs::read_dir(ROOT)?.flatten() {
        for container in containers {
            let path: PathBuf = controller.path().join(PARENT).join(container);
            remove_cgroup(&path).with_context(|| format!("can't remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Removes a cgroup and all cgroups below it. A cgroup stays busy for a moment after its last
/// process was killed, hence the retries.
fn remove_cgroup(path: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        remove_cgroup(&entry.path())?;
    }
    let start = Instant::now();
    loop {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && start.elapsed() < Duration::from_secs(20) => {
                sleep(Duration::from_millis(20));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => return Ok(()),
        }
    }
}
