//! Long-running processes of a cluster, and what `/proc` says about processes.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::wait::wait_until;

/// A component of a cluster that keeps running. Its pid file identifies it, so that any process can
/// end it.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    pid_file: PathBuf,
}

/// How to start a [`Daemon`].
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// The network namespace to run in.
    pub(crate) namespace: String,
    /// The program, by its path or by its name in `search_path`.
    pub(crate) program: &'a Path,
    pub(crate) args: &'a [String],
    /// The file for standard output and standard error.
    pub(crate) log: PathBuf,
    /// The value of `PATH`.
    pub(crate) search_path: String,
}

impl Daemon {
    pub(crate) fn new(pids: &Path, name: &str) -> Self {
        Self {
            pid_file: pids.join(name),
        }
    }

    /// Starts the component and records its pid.
    pub(crate) fn start(&self, launch: &Launch<'_>) -> Result<()> {
        let log = launch.log.display();
        let out = File::create(&launch.log).with_context(|| format!("can't write {log}"))?;
        // Not `ip netns exec`: it mounts a new /sys, which hides the cgroups from the kubelet.
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", launch.namespace))
            .arg(launch.program)
            .args(launch.args)
            .env("PATH", &launch.search_path)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            // A process group of its own, so that Ctrl-C reaches only the test. The supervisor
            // then takes the cluster down in order.
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("can't start {}", launch.program.display()))?;
        self.record(child.id())
    }

    /// Writes the pid file for the running process `pid`.
    pub(crate) fn record(&self, pid: u32) -> Result<()> {
        let started = start_time(pid).with_context(|| format!("{} exited immediately", self.pid_file.display()))?;
        fs::write(&self.pid_file, format!("{pid} {started}"))?;
        Ok(())
    }

    /// Returns the pid while the process runs. The recorded start time must match, so that a reused
    /// pid is never mistaken for the component.
    pub(crate) fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(&self.pid_file).ok()?;
        let (pid, started) = text.split_once(' ')?;
        let pid = pid.parse().ok()?;
        (start_time(pid)? == started.parse::<u64>().ok()? && !is_zombie(pid)).then_some(pid)
    }

    /// Kills the process and waits until it has ended.
    pub(crate) fn kill(&self) -> Result<()> {
        if let Some(pid) = self.pid() {
            send(pid, Signal::SIGKILL);
        }
        wait_until(
            &format!("{} to end", self.pid_file.display()),
            Duration::from_secs(30),
            || self.pid().is_none(),
        )
    }
}

/// Sends a signal. A process that has just ended is no error.
pub(crate) fn send(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// The fields of `/proc/PID/stat` after the command name. The name itself may contain spaces and
/// brackets.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

/// The time when a process started, in clock ticks since boot.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

/// The pid of a process's parent.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

fn is_zombie(pid: u32) -> bool {
    stat(pid).is_none_or(|fields| fields.first().is_none_or(|state| state == "Z" || state == "X"))
}

/// The pids of all processes on this machine.
pub(crate) fn all_pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The command line of a process, with spaces between the arguments; empty for a zombie.
pub(crate) fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}
