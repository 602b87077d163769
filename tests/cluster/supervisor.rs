//! The process that belongs to a running cluster: it carries kubectl's connections into the cluster's namespace, and takes the
//! cluster down when the process that made it dies.

use std::{
    fs,
    io::{self, Read},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    control_plane::ControlPlane, netns::Netns, spec::Spec, state_dir::StateDir, teardown::take_down, wait::wait_for,
};

/// Starts the supervisor of a cluster: `cluster supervise NAME`. The pipe that is given back is the owner's sign of life.
pub(crate) fn start(program: &Path, spec: &Spec, state: &StateDir) -> Result<(ChildStdin, u16)> {
    let log = fs::File::create(state.log("supervisor"))?;
    let mut child = Command::new(program)
        .args(["supervise", &spec.name])
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .with_context(|| format!("can't start {}", program.display()))?;
    state.daemon("supervisor").record(child.id())?;
    let pipe = child.stdin.take().context("the supervisor has no standard input")?;
    let port = wait_for("the supervisor", Duration::from_secs(20), || {
        Ok(fs::read_to_string(state.join("api-port"))
            .ok()
            .and_then(|text| text.parse().ok()))
    })?;
    Ok((pipe, port))
}

/// Serves until the cluster goes. This is what the subcommand `supervise` does.
///
/// # Errors
/// When there is no such cluster, or no port.
pub fn supervise(name: &str) -> Result<()> {
    let state = StateDir::of(name);
    let spec = state.spec()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port_file = state.join("api-port");
    let partial = state.join("api-port.partial");
    fs::write(&partial, listener.local_addr()?.port().to_string())?;
    fs::rename(partial, port_file)?;
    let target = ControlPlane::api_server_address(&spec);
    let netns = Netns::new(spec.namespace("cp"));
    thread::scope(|scope| {
        if spec.owned {
            scope.spawn(|| {
                // Nothing is ever written to this pipe: it ends when the owner does.
                let _ = io::stdin().read(&mut [0]);
                if let Err(error) = take_down(name) {
                    eprintln!("can't take {name} down: {error:#}");
                }
                std::process::exit(0);
            });
        }
        for client in listener.incoming().flatten() {
            let (target, netns) = (&target, &netns);
            scope.spawn(move || {
                if let Err(error) = carry(&client, netns, target) {
                    eprintln!("a connection to the API server: {error:#}");
                }
            });
        }
    });
    Ok(())
}

/// Copies both ways between `client` and `target` until both are through.
fn carry(client: &TcpStream, netns: &Netns, target: &str) -> Result<()> {
    let server = netns.within(|| Ok(TcpStream::connect(target)?))?;
    thread::scope(|scope| {
        scope.spawn(|| copy(client, &server));
        copy(&server, client);
    });
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    // An end that breaks off is the end; the other side is told either way.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
