//! The programs that a cluster consists of.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Programs from Debian that the components of a cluster call, each with its package.
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

/// The directory of the Kubernetes programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// Builds the programs that are not built yet, and checks that the Debian packages are
    /// installed. The first build takes minutes; its progress goes to standard error.
    ///
    /// # Errors
    /// Without root, when a program can't be built, or when a Debian package is missing.
    pub fn provide() -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!("network namespaces and containers need root: run this as root (sudo)");
        }
        for (program, package) in FROM_DEBIAN {
            let found = env::split_paths(&path()).any(|directory| directory.join(program).exists());
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
        let directory = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() || directory.is_empty() {
            bail!("{script} failed ({})", output.status);
        }
        Ok(Self {
            directory: PathBuf::from(directory),
        })
    }

    /// The path of a program.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The directory of the programs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A value of `PATH` on which these programs come first.
    #[must_use]
    pub fn search_path(&self) -> String {
        format!("{}:{}", self.directory.display(), path())
    }

    /// Creates symbolic links to these programs in `directory`.
    pub(crate) fn link_into(&self, directory: &Path, names: &[&str]) -> Result<()> {
        fs::create_dir_all(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
        for name in names {
            let link = directory.join(name);
            if !link.exists() {
                symlink(self.path(name), link)?;
            }
        }
        Ok(())
    }
}

/// The `PATH` of this process, plus the directories of system programs, which a user's may lack.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin:/usr/bin:/bin", env::var("PATH").unwrap_or_default())
}
