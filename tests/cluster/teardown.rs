//! Taking clusters down. Two settings stay on the machine, because other clusters may need them:
//! the limit of inotify instances, and the CPU weight of containers.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    mount::{MntFlags, umount2},
    sys::signal::Signal,
};

use crate::{
    cgroups::{container_ids, remove_cgroups},
    netns::Netns,
    process::{Daemon, all_pids, command_line, parent, send},
    state_dir::{StateDir, list_clusters},
    tool::run,
};

/// Removes everything that belongs to the cluster `name`: processes, mounts, cgroups, network
/// namespaces and files. A cluster that is incomplete or does not exist is no error.
///
/// # Errors
/// When something can't be removed.
pub fn take_down(name: &str) -> Result<()> {
    let state = StateDir::of(name);
    if !state.exists() {
        return Ok(());
    }
    let containers = container_ids(&state);
    kill_processes(&state.daemons(), state.path())?;
    remove_cgroups(&containers)?;
    unmount(state.path())?;
    if let Ok(spec) = state.spec() {
        let hosts = std::iter::once("lan".to_owned())
            .chain(spec.nodes())
            .chain(spec.client_names());
        for host in hosts {
            let netns = Netns::new(spec.namespace(&host));
            if netns.exists() {
                run("ip", &["netns", "delete", netns.name()])?;
            }
        }
    }
    // The rename removes the cluster atomically: a half-empty directory would look orphaned.
    let removed = state
        .path()
        .with_file_name(format!(".{name}-{}-gone", std::process::id()));
    fs::rename(state.path(), &removed).with_context(|| format!("can't remove {}", state.path().display()))?;
    fs::remove_dir_all(&removed).with_context(|| format!("can't remove {}", removed.display()))
}

/// Takes down each cluster whose owner and supervisor are both dead. A failure is printed and
/// otherwise ignored: it does not prevent another cluster from starting.
pub(crate) fn take_down_orphans() {
    for name in list_clusters() {
        let state = StateDir::of(&name);
        let orphaned = state.spec().map_or(true, |spec| spec.owned) && !state.owner_is_alive();
        if orphaned && state.exists() && state.daemon("supervisor").pid().is_none() {
            eprintln!("taking down the orphaned cluster {name}: its owner has died");
            if let Err(error) = take_down(&name) {
                eprintln!("can't take down the cluster {name}: {error:#}");
            }
        }
    }
}

/// Kills `daemons`, the containerd shims whose socket is below `directory`, and all their
/// descendants. Repeats this until none of them is left.
pub(crate) fn kill_processes(daemons: &[Daemon], directory: &Path) -> Result<()> {
    let start = Instant::now();
    loop {
        let pids = process_family(daemons, directory);
        if pids.is_empty() {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(60) {
            bail!("these processes survive SIGKILL: {pids:?}");
        }
        for pid in pids {
            send(pid, Signal::SIGKILL);
        }
        sleep(Duration::from_millis(20));
    }
}

fn process_family(daemons: &[Daemon], directory: &Path) -> BTreeSet<u32> {
    let own = std::process::id();
    let marker = format!("{}/", directory.display());
    let pids = all_pids();
    let mut family: BTreeSet<u32> = daemons.iter().filter_map(Daemon::pid).collect();
    family.extend(pids.iter().filter(|pid| {
        let line = command_line(**pid);
        line.contains("containerd-shim") && line.contains(&marker)
    }));
    // The process that takes the cluster down may be its supervisor.
    family.remove(&own);
    // A parent may come after its children in the list: repeat until a pass finds no new process.
    loop {
        let children = pids
            .iter()
            .copied()
            .filter(|pid| *pid != own && parent(*pid).is_some_and(|parent| family.contains(&parent)));
        let children: Vec<u32> = children.filter(|pid| !family.contains(pid)).collect();
        if children.is_empty() {
            break;
        }
        family.extend(children);
    }
    // A zombie has no command line. It is dead already and only waits for its parent.
    family.retain(|pid| !command_line(*pid).is_empty());
    family
}

/// Unmounts everything at or below `directory`, the newest mount first. Mounts may also disappear
/// meanwhile, with a process or with another mount, so each pass reads the list again.
fn unmount(directory: &Path) -> Result<()> {
    let start = Instant::now();
    loop {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let paths = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .map(|path| path.replace("\\040", " "));
        let below: Vec<String> = paths.filter(|path| Path::new(path).starts_with(directory)).collect();
        if below.is_empty() {
            return Ok(());
        }
        for path in below.iter().rev() {
            let unmounted = umount2(path.as_str(), MntFlags::MNT_DETACH);
            if start.elapsed() > Duration::from_secs(20) {
                unmounted.with_context(|| format!("can't unmount {path}"))?;
            }
        }
    }
}
