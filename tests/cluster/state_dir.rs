//! The state directory of a cluster: all that a process needs to use it or to take it down.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    process::{Daemon, start_time},
    spec::Spec,
};

/// The parent of all state directories. It is short because the paths of sockets below it are
/// limited to 107 bytes.
const ROOT: &str = "/run/lodestone";

/// How many lines [`StateDir::log_tails`] shows of each log, and how many characters of each line.
const TAIL: (usize, usize) = (8, 400);

/// The state directory of one cluster.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// The directory of the cluster `name`, whether or not it exists.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self {
            path: Path::new(ROOT).join(name),
        }
    }

    /// Creates the directory and records this process as the owner of the cluster.
    ///
    /// The directory appears under its name only when it is complete. Otherwise another process
    /// could find it without an owner and take it down as orphaned.
    pub(crate) fn create(&self, spec: &Spec) -> Result<()> {
        let root = self.path.parent().context("a state directory has no parent")?;
        fs::create_dir_all(root)?;
        let partial = Self {
            path: root.join(format!(".{}-{}", spec.name, std::process::id())),
        };
        for directory in ["pids", "logs", "pki", "bin"] {
            fs::create_dir_all(partial.path.join(directory))?;
        }
        fs::write(partial.path.join("spec.json"), serde_json::to_vec_pretty(spec)?)?;
        Daemon::new(&partial.path, "owner").record(std::process::id())?;
        let renamed = fs::rename(&partial.path, &self.path);
        if renamed.is_err() {
            fs::remove_dir_all(&partial.path)?;
        }
        renamed.with_context(|| format!("can't create {}", self.path.display()))
    }

    /// Reads the parameters that the cluster was created with.
    ///
    /// # Errors
    /// When the cluster does not exist, or its record can't be parsed.
    pub fn spec(&self) -> Result<Spec> {
        let path = self.path.join("spec.json");
        let bytes = fs::read(&path).with_context(|| format!("no cluster at {}", self.path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("can't parse {}", path.display()))
    }

    /// Whether the cluster exists, in any state between its creation and its removal.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(format!("{name}.log"))
    }

    /// The last log lines of each component, with a note at each component that has exited.
    #[must_use]
    pub fn log_tails(&self) -> String {
        let logs = fs::read_dir(self.path.join("logs")).into_iter().flatten().flatten();
        let mut logs: Vec<PathBuf> = logs.map(|entry| entry.path()).collect();
        logs.sort();
        let mut tails = String::new();
        for log in logs {
            let text = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let name = log.file_stem().unwrap_or_default().to_string_lossy();
            let exited = self.daemon(&name).pid().is_none();
            tails += &format!("--- {}{}\n", log.display(), if exited { " (has exited)" } else { "" });
            for line in &lines[lines.len().saturating_sub(TAIL.0)..] {
                tails += &format!("{}\n", line.chars().take(TAIL.1).collect::<String>());
            }
        }
        tails
    }

    pub(crate) fn daemon(&self, name: &str) -> Daemon {
        Daemon::new(&self.path.join("pids"), name)
    }

    /// All components that were ever started, one for each pid file.
    pub(crate) fn daemons(&self) -> Vec<Daemon> {
        let entries = fs::read_dir(self.path.join("pids")).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| Some(self.daemon(entry.file_name().to_str()?)))
            .collect()
    }

    /// Whether the process that created the cluster still runs.
    pub(crate) fn owner_is_alive(&self) -> bool {
        let recorded = fs::read_to_string(self.path.join("owner")).unwrap_or_default();
        recorded
            .split_once(' ')
            .and_then(|(pid, started)| Some((pid.parse::<u32>().ok()?, started.parse::<u64>().ok()?)))
            .is_some_and(|(pid, started)| start_time(pid) == Some(started))
    }
}

/// The names of all clusters on this machine, sorted.
#[must_use]
pub fn list_clusters() -> Vec<String> {
    list_in(Path::new(ROOT))
}

fn list_in(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    // A leading dot marks a directory that is being created or removed.
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn cluster_being_created_never_looks_orphaned() {
        let root = std::env::temp_dir().join(format!("lodestone-state-{}", std::process::id()));
        let finished = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for index in 0..300 {
                    let name = format!("c{index}");
                    StateDir { path: root.join(&name) }.create(&Spec::new(&name)).unwrap();
                }
                finished.store(true, Ordering::Relaxed);
            });
            while !finished.load(Ordering::Relaxed) {
                for name in list_in(&root) {
                    let state = StateDir { path: root.join(name) };
                    assert!(
                        state.owner_is_alive() && state.spec().is_ok(),
                        "{}",
                        state.path.display()
                    );
                }
            }
        });
        assert_eq!(list_in(&root).len(), 300);
        let again = StateDir { path: root.join("c7") }.create(&Spec::new("c7"));
        assert!(again.is_err() && list_in(&root).len() == 300);
        fs::remove_dir_all(root).unwrap();
    }
}
