//! The process in a pod, for tests that kill or freeze it.

use std::{fs, time::Duration};

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::{
    cluster::Cluster,
    process::{all_pids, command_line, parent, send},
    wait::wait_for,
};

/// The first process of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodProcess {
    pid: u32,
}

impl PodProcess {
    /// Its pid in the pid namespace of this machine.
    #[must_use]
    pub const fn pid(self) -> u32 {
        self.pid
    }

    /// Kills the process, as the kernel does when it runs out of memory.
    pub fn kill(self) {
        send(self.pid, Signal::SIGKILL);
    }

    /// Suspends the process.
    pub fn freeze(self) {
        send(self.pid, Signal::SIGSTOP);
    }

    /// Resumes the process.
    pub fn thaw(self) {
        send(self.pid, Signal::SIGCONT);
    }
}

impl Cluster {
    /// Waits until the only container of a pod runs, and returns its first process.
    ///
    /// # Errors
    /// When the container does not run within 30 seconds.
    pub fn process_of_pod(&self, namespace: &str, pod: &str) -> Result<PodProcess> {
        let what = format!("the process of the pod {pod}");
        let pid = wait_for(&what, Duration::from_secs(30), || {
            let path = "jsonpath={.status.containerStatuses[0].containerID}";
            let id = self.kubectl(&["-n", namespace, "get", "pod", pod, "-o", path])?;
            let id = id.trim().trim_start_matches("containerd://").to_owned();
            if id.is_empty() {
                return Ok(None);
            }
            Ok(all_pids().into_iter().find(|pid| is_first_process(*pid, &id)))
        })?;
        Ok(PodProcess { pid })
    }
}

/// Whether `pid` is the first process of the container `id`: its parent is the containerd shim.
fn is_first_process(pid: u32, id: &str) -> bool {
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    cgroup.contains(id) && parent(pid).is_some_and(|parent| command_line(parent).contains("containerd-shim"))
}
