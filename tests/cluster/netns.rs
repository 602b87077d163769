//! Network namespaces.

use std::{fs::File, thread};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use crate::process::{Tool, run};

/// A named network namespace (`ip netns`).
#[derive(Clone, Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// The namespace of that name, whether it exists or not.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes it, with a loopback interface that is up.
    ///
    /// # Errors
    /// When there is one of that name, or without root.
    pub fn create(&self) -> Result<()> {
        run("ip", &["netns", "add", &self.name])?;
        self.ip(&["link", "set", "lo", "up"])?;
        Ok(())
    }

    /// Runs `ip` in it.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn ip(&self, args: &[&str]) -> Result<String> {
        Tool::new("ip").args(["-n", &self.name]).args(args).run()
    }

    /// Runs many `ip` commands in it, one a line, in one process.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn ip_batch(&self, lines: &[String]) -> Result<()> {
        Tool::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .input(lines.join("\n"))
            .run()?;
        Ok(())
    }

    /// A command that will run in it.
    #[must_use]
    pub fn tool(&self, program: &str) -> Tool {
        Tool::new("nsenter").args([&format!("--net=/run/netns/{}", self.name), program])
    }

    /// Runs `work` on a thread of its own in the namespace: the sockets that it makes stay there.
    ///
    /// # Errors
    /// When the namespace does not exist or can't be entered, and what `work` itself fails with.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = format!("/run/netns/{}", self.name);
        let file = File::open(&path).with_context(|| format!("no network namespace {}", self.name))?;
        let entered = || {
            setns(&file, CloneFlags::CLONE_NEWNET).with_context(|| format!("can't enter {path}"))?;
            work()
        };
        thread::scope(|scope| scope.spawn(entered).join()).map_err(|_| anyhow!("a thread in {} panicked", self.name))?
    }

    /// Sets kernel parameters (`net.…` with slashes) of it.
    pub(crate) fn sysctl(&self, values: &[(&str, &str)]) -> Result<()> {
        // /proc/sys/net shows the namespace of the thread that looks.
        self.within(|| {
            for (key, value) in values {
                let path = format!("/proc/sys/net/{key}");
                std::fs::write(&path, value).with_context(|| format!("can't set {path}"))?;
            }
            Ok(())
        })
    }

    pub(crate) fn exists(&self) -> bool {
        std::path::Path::new("/run/netns").join(&self.name).exists()
    }
}
