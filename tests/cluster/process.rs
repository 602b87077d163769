//! Programs: tools that are run to their end, and parts of the cluster that keep running.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::wait::wait_until;

/// A tool that is run to its end, and what it printed.
pub struct Tool {
    command: Command,
    input: Option<String>,
}

impl Tool {
    /// A tool by name or path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(program),
            input: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Feeds its standard input.
    #[must_use]
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// Runs it, whatever its exit code.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn output(mut self) -> Result<Output> {
        let what = format!("{:?}", self.command);
        self.command.stdin(if self.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().with_context(|| format!("can't run {what}"))?;
        if let (Some(text), Some(mut stdin)) = (self.input.take(), child.stdin.take()) {
            // A tool that ends before it has read everything says why on its own.
            let _ = stdin.write_all(text.as_bytes());
        }
        child.wait_with_output().with_context(|| format!("lost {what}"))
    }

    /// Runs it and gives its standard output.
    ///
    /// # Errors
    /// When it can't be started or fails; its standard error is told.
    pub fn run(self) -> Result<String> {
        let what = format!("{:?}", self.command);
        let output = self.output()?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!(
                "{what} ended with {}:\n{}{stdout}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(stdout)
    }
}

/// Runs `program` with `args` and gives its standard output.
///
/// # Errors
/// As [`Tool::run`].
pub fn run(program: impl AsRef<OsStr>, args: &[&str]) -> Result<String> {
    Tool::new(program).args(args).run()
}

/// A part of the cluster that keeps running, known by its pid file, so that any process can end it.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    pid_file: PathBuf,
}

impl Daemon {
    pub(crate) fn new(pids: &Path, name: &str) -> Self {
        Self {
            pid_file: pids.join(name),
        }
    }

    /// Starts `program` in the network namespace, with what it prints in `log`.
    pub(crate) fn start(&self, namespace: &str, program: &Path, args: &[String], log: &Path, path: &str) -> Result<()> {
        let out = File::create(log).with_context(|| format!("can't write {}", log.display()))?;
        // nsenter and not `ip netns exec`: that one mounts a new /sys, which hides the cgroups from the kubelet.
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{namespace}"))
            .arg(program)
            .args(args)
            .env("PATH", path)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            // A group of its own: an interrupt from the keyboard is for the test, which then takes everything down.
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("can't start {}", program.display()))?;
        self.record(child.id())
    }

    pub(crate) fn record(&self, pid: u32) -> Result<()> {
        let started = start_time(pid).with_context(|| format!("{} ended at once", self.pid_file.display()))?;
        fs::write(&self.pid_file, format!("{pid} {started}"))?;
        Ok(())
    }

    /// Its pid, while it runs. The time of its start is compared, so that a pid that was given anew is never taken for it.
    pub(crate) fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(&self.pid_file).ok()?;
        let (pid, started) = text.split_once(' ')?;
        let pid = pid.parse().ok()?;
        (start_time(pid)? == started.parse::<u64>().ok()? && !is_zombie(pid)).then_some(pid)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            send(pid, signal);
        }
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL);
        wait_until(
            &format!("{} to end", self.pid_file.display()),
            Duration::from_secs(30),
            || self.pid().is_none(),
        )
    }
}

/// Sends a signal; a process that has just ended is no error.
pub(crate) fn send(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// The fields of /proc/PID/stat that follow the name, which may itself hold spaces and brackets.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

/// When a process was started, in clock ticks since boot.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

/// The parent of a process.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

fn is_zombie(pid: u32) -> bool {
    stat(pid).is_none_or(|fields| fields.first().is_none_or(|state| state == "Z" || state == "X"))
}

/// Every process there is.
pub(crate) fn all_pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The command line of a process, its words parted by spaces.
pub(crate) fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}
