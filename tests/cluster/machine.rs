//! What the parts of a cluster need of the machine itself.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

/// Instances of inotify that one user may have: a kubelet takes six, a containerd two, and all of them are root's. The kernel's own limit
/// of 128 is reached by two clusters of eight nodes.
const INOTIFY: (&str, u32) = ("/proc/sys/fs/inotify/max_user_instances", 1024);

/// Allows more instances of inotify, where there are few. It stays so: other clusters may need it.
pub(crate) fn allow_inotify() -> Result<()> {
    let (path, wanted) = INOTIFY;
    let allowed = fs::read_to_string(path)?;
    if allowed.trim().parse::<u32>()? < wanted {
        fs::write(path, wanted.to_string()).with_context(|| format!("can't raise {path} to {wanted}"))?;
    }
    Ok(())
}

/// Makes `folder` a mount whose mounts are seen in every mount namespace that is made afterwards.
pub(crate) fn share_mounts(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    // A node that gets its power back finds what it had.
    if mounts
        .lines()
        .any(|line| line.split(' ').nth(1).map(Path::new) == Some(folder))
    {
        return Ok(());
    }
    let set = |source: Option<&Path>, flags| mount(source, folder, None::<&str>, flags, None::<&str>);
    set(Some(folder), MsFlags::MS_BIND)
        .and_then(|()| set(None, MsFlags::MS_SHARED))
        .with_context(|| format!("can't mount {}", folder.display()))
}
