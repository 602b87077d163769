//! The programs that the cluster is made of.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Programs of Debian that the parts of a cluster call.
const FROM_DEBIAN: [(&str, &str); 8] = [
    ("arping", "iputils-arping"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("mount", "mount"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("runc", "runc"),
];

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Builds what is not built yet (minutes, the first time; progress goes to standard error), and looks for the rest.
    ///
    /// # Errors
    /// When a program can't be built or is missing.
    pub fn provide() -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!("network namespaces and containers need root: run this as root (sudo)");
        }
        for (program, package) in FROM_DEBIAN {
            let found = env::split_paths(&path()).any(|folder| folder.join(program).exists());
            if !found {
                bail!("{program} is missing: install it with `make deps` (package {package})");
            }
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes/build.sh");
        let output = Command::new(script)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("can't run {script}"))?;
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() || folder.is_empty() {
            bail!("{script} ended with {}", output.status);
        }
        Ok(Self {
            folder: PathBuf::from(folder),
        })
    }

    /// The path of one of them.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Their folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A PATH on which they come first.
    #[must_use]
    pub fn search_path(&self) -> String {
        format!("{}:{}", self.folder.display(), path())
    }

    /// A small file that calls kubectl or helm with the cluster's credentials, for the user's own shell.
    pub(crate) fn link_into(&self, folder: &Path, names: &[&str]) -> Result<()> {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        for name in names {
            let link = folder.join(name);
            if !link.exists() {
                symlink(self.path(name), link)?;
            }
        }
        Ok(())
    }
}

/// The PATH of this process, with the folders of system programs that an ordinary user's may lack.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin:/usr/bin:/bin", env::var("PATH").unwrap_or_default())
}
