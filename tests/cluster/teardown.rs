//! Taking clusters down without a trace.

use std::{
    collections::BTreeSet,
    fs, io,
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
    netns::Netns,
    node::cgroup,
    process::{Daemon, all_pids, command_line, parent, run, send},
    spec::Spec,
    state_dir::{StateDir, list},
};

/// Ends everything that belongs to the cluster `name`: processes, mounts, cgroups, namespaces and files. A cluster that is not
/// there, or only half of it, is no error.
///
/// # Errors
/// When something can't be removed.
pub fn take_down(name: &str) -> Result<()> {
    let state = StateDir::of(name);
    if !state.exists() {
        return Ok(());
    }
    end_processes(&state.daemons(), state.path())?;
    unmount(state.path())?;
    if let Ok(spec) = state.spec() {
        remove_cgroups(&spec)?;
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
    // From one moment to the next: half a folder would look like one that a dead process has left.
    let gone = state
        .path()
        .with_file_name(format!(".{name}-{}-gone", std::process::id()));
    fs::rename(state.path(), &gone).with_context(|| format!("can't remove {}", state.path().display()))?;
    fs::remove_dir_all(&gone).with_context(|| format!("can't remove {}", gone.display()))
}

/// Takes down every cluster whose owner has died without its supervisor's notice. What can't be taken down is told and left: it is no
/// reason not to bring another one up.
pub fn sweep() {
    for name in list() {
        let state = StateDir::of(&name);
        let orphaned = state.spec().map_or(true, |spec| spec.owned) && !state.owner_lives();
        if orphaned && state.exists() && state.daemon("supervisor").pid().is_none() {
            eprintln!("taking down the cluster {name}, which a dead process left behind");
            if let Err(error) = take_down(&name) {
                eprintln!("can't take it down: {error:#}");
            }
        }
    }
}

/// Kills until nothing is left of the parts `daemons`, of the shims whose socket is below `folder`, and of all their children.
pub(crate) fn end_processes(daemons: &[Daemon], folder: &Path) -> Result<()> {
    let start = Instant::now();
    loop {
        let doomed = family(daemons, folder);
        if doomed.is_empty() {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(60) {
            bail!("these processes do not end: {doomed:?}");
        }
        for pid in doomed {
            send(pid, Signal::SIGKILL);
        }
        sleep(Duration::from_millis(20));
    }
}

fn family(daemons: &[Daemon], folder: &Path) -> BTreeSet<u32> {
    let own = std::process::id();
    let marker = format!("{}/", folder.display());
    let pids = all_pids();
    let mut family: BTreeSet<u32> = daemons.iter().filter_map(Daemon::pid).collect();
    family.extend(pids.iter().filter(|pid| {
        let line = command_line(**pid);
        line.contains("containerd-shim") && line.contains(&marker)
    }));
    // The supervisor may be the one that takes down.
    family.remove(&own);
    // Parents may come after their children in the list: go on until a round finds nobody.
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
    // What is dead already, and only waits for its parent to look, has no command line.
    family.retain(|pid| !command_line(*pid).is_empty());
    family
}

/// Unmounts everything at or below `folder`, the newest first. Mounts go by themselves, too, when their process or another mount does:
/// so the list is read anew until it is empty.
fn unmount(folder: &Path) -> Result<()> {
    let start = Instant::now();
    loop {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let paths = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .map(|path| path.replace("\\040", " "));
        let below: Vec<String> = paths.filter(|path| Path::new(path).starts_with(folder)).collect();
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

fn remove_cgroups(spec: &Spec) -> Result<()> {
    for controller in fs::read_dir("/sys/fs/cgroup")?.flatten() {
        let root = controller.path().join(cgroup(spec).trim_start_matches('/'));
        remove_cgroup(&root).with_context(|| format!("can't remove {}", root.display()))?;
    }
    Ok(())
}

/// Removes a cgroup and those in it. A cgroup is busy for a moment after its last process has been killed.
fn remove_cgroup(path: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        remove_cgroup(&entry.path())?;
    }
    let start = Instant::now();
    loop {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && start.elapsed() < Duration::from_secs(20) => {
                sleep(Duration::from_millis(20));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => return Ok(()),
        }
    }
}
