//! Settings of the machine itself that a cluster needs.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

/// The limit of inotify instances for each user, and the value that tests need. A kubelet takes six
/// and a containerd two, all as root. Two clusters of eight nodes reach the kernel's default of
/// 128.
const INOTIFY: (&str, u32) = ("/proc/sys/fs/inotify/max_user_instances", 1024);

/// Raises the limit of inotify instances where it is lower than needed. Nothing lowers it again,
/// because other clusters may still need it.
pub(crate) fn raise_inotify_limit() -> Result<()> {
    let (path, wanted) = INOTIFY;
    let limit = fs::read_to_string(path)?;
    if limit.trim().parse::<u32>()? < wanted {
        fs::write(path, wanted.to_string()).with_context(|| format!("can't raise {path} to {wanted}"))?;
    }
    Ok(())
}

/// Makes `directory` a shared mount: mounts below it propagate to mount namespaces created later.
pub(crate) fn share_mounts(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    // After a simulated power failure the mount of the node still exists.
    if mounts
        .lines()
        .any(|line| line.split(' ').nth(1).map(Path::new) == Some(directory))
    {
        return Ok(());
    }
    let set = |source: Option<&Path>, flags| mount(source, directory, None::<&str>, flags, None::<&str>);
    set(Some(directory), MsFlags::MS_BIND)
        .and_then(|()| set(None, MsFlags::MS_SHARED))
        .with_context(|| format!("can't mount {}", directory.display()))
}
