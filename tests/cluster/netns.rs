//! Network namespaces.

use std::{
    fs::{self, File},
    path::Path,
    thread,
};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use crate::tool::{Tool, run};

/// A named network namespace (`ip netns`).
#[derive(Clone, Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// The namespace of that name, whether or not it exists.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// The name of the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Creates the namespace, with its loopback interface up.
    ///
    /// # Errors
    /// When the namespace exists already, or without root.
    pub fn create(&self) -> Result<()> {
        run("ip", &["netns", "add", &self.name])?;
        self.ip(&["link", "set", "lo", "up"])?;
        Ok(())
    }

    /// Runs `ip` in the namespace and returns its output.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn ip(&self, args: &[&str]) -> Result<String> {
        Tool::new("ip").args(["-n", &self.name]).args(args).run()
    }

    /// Runs several `ip` commands in the namespace, one for each line, in a single process.
    ///
    /// # Errors
    /// When a command fails.
    pub fn ip_batch(&self, lines: &[String]) -> Result<()> {
        Tool::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .input(lines.join("\n"))
            .run()?;
        Ok(())
    }

    /// A tool that runs in the namespace.
    #[must_use]
    pub fn tool(&self, program: &str) -> Tool {
        Tool::new("nsenter").args([&format!("--net=/run/netns/{}", self.name), program])
    }

    /// Runs `work` in the namespace, on a thread of its own. Its sockets stay in the namespace.
    ///
    /// # Errors
    /// When the namespace does not exist or can't be entered, or `work` fails.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = format!("/run/netns/{}", self.name);
        let file = File::open(&path).with_context(|| format!("no network namespace {}", self.name))?;
        let entered = || {
            setns(&file, CloneFlags::CLONE_NEWNET).with_context(|| format!("can't enter {path}"))?;
            work()
        };
        thread::scope(|scope| scope.spawn(entered).join())
            .map_err(|_| anyhow!("a thread in the network namespace {} panicked", self.name))?
    }

    /// Sets kernel parameters of the namespace. Keys are relative to `/proc/sys/net`.
    pub(crate) fn sysctl(&self, values: &[(&str, &str)]) -> Result<()> {
        // /proc/sys/net belongs to the namespace of the thread that opens it.
        self.within(|| {
            for (key, value) in values {
                let path = format!("/proc/sys/net/{key}");
                fs::write(&path, value).with_context(|| format!("can't set {path}"))?;
            }
            Ok(())
        })
    }

    /// Whether the namespace exists.
    pub(crate) fn exists(&self) -> bool {
        Path::new("/run/netns").join(&self.name).exists()
    }
}
