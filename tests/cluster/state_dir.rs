//! The folder of a cluster: everything that any process needs to use it or to take it down.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{process::Daemon, process::start_time, spec::Spec};

/// Where the folders of all clusters are; short, for the sake of the sockets' paths.
const ROOT: &str = "/run/lodestone";

/// The folder of one cluster.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// The folder of the cluster `name`, whether there is one or not.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self {
            path: Path::new(ROOT).join(name),
        }
    }

    /// Makes it, and writes down who it belongs to. It appears under its name with all of that in it: others take down whatever belongs
    /// to nobody.
    pub(crate) fn create(&self, spec: &Spec) -> Result<()> {
        let root = self.path.parent().context("a cluster's folder is in another one")?;
        fs::create_dir_all(root)?;
        let making = Self {
            path: root.join(format!(".{}-{}", spec.name, std::process::id())),
        };
        for folder in ["pids", "logs", "pki", "bin"] {
            fs::create_dir_all(making.path.join(folder))?;
        }
        fs::write(making.path.join("spec.json"), serde_json::to_vec_pretty(spec)?)?;
        Daemon::new(&making.path, "owner").record(std::process::id())?;
        let made = fs::rename(&making.path, &self.path);
        if made.is_err() {
            fs::remove_dir_all(&making.path)?;
        }
        made.with_context(|| format!("can't make {}", self.path.display()))
    }

    /// What the cluster was asked to be.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub fn spec(&self) -> Result<Spec> {
        let path = self.path.join("spec.json");
        let bytes = fs::read(&path).with_context(|| format!("there is no cluster at {}", self.path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Whether it is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file for KUBECONFIG.
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

    /// The last lines that each part wrote, and which of them do not run any more.
    #[must_use]
    pub fn last_words(&self) -> String {
        let mut logs: Vec<PathBuf> = fs::read_dir(self.path.join("logs"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        logs.sort();
        let mut words = String::new();
        for log in logs {
            let text = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let name = log.file_stem().unwrap_or_default().to_string_lossy();
            let ended = self.daemon(&name).pid().is_none();
            words += &format!("--- {}{}\n", log.display(), if ended { " (has ended)" } else { "" });
            for line in &lines[lines.len().saturating_sub(8)..] {
                words += &format!("{}\n", line.chars().take(400).collect::<String>());
            }
        }
        words
    }

    pub(crate) fn daemon(&self, name: &str) -> Daemon {
        Daemon::new(&self.path.join("pids"), name)
    }

    /// All parts that were started, by the names of their pid files.
    pub(crate) fn daemons(&self) -> Vec<Daemon> {
        let entries = fs::read_dir(self.path.join("pids")).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| Some(self.daemon(entry.file_name().to_str()?)))
            .collect()
    }

    /// Whether the process that made the cluster still runs.
    pub(crate) fn owner_lives(&self) -> bool {
        let recorded = fs::read_to_string(self.path.join("owner")).unwrap_or_default();
        recorded
            .split_once(' ')
            .and_then(|(pid, started)| Some((pid.parse::<u32>().ok()?, started.parse::<u64>().ok()?)))
            .is_some_and(|(pid, started)| start_time(pid) == Some(started))
    }
}

/// The names of all clusters on this machine.
#[must_use]
pub fn list() -> Vec<String> {
    list_in(Path::new(ROOT))
}

fn list_in(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    // One that is being made is not there yet.
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
    fn a_cluster_that_is_being_made_never_looks_as_if_it_belonged_to_nobody() {
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
                    assert!(state.owner_lives() && state.spec().is_ok(), "{}", state.path.display());
                }
            }
        });
        assert_eq!(list_in(&root).len(), 300);
        let again = StateDir { path: root.join("c7") }.create(&Spec::new("c7"));
        assert!(again.is_err() && list_in(&root).len() == 300);
        fs::remove_dir_all(root).unwrap();
    }
}
