//! The supervisor process of a running cluster. It forwards kubectl's connections into the network
//! namespace of the API server, and takes the cluster down when the owner of the cluster dies.

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

/// Starts the supervisor of a cluster: `cluster supervise NAME`.
///
/// Returns a pipe and a TCP port on the loopback interface. The supervisor of an owned cluster
/// takes it down when the pipe closes, and forwards connections on the port to the API server.
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

/// Runs the supervisor of the cluster `name` until the cluster is taken down. The subcommand
/// `supervise` calls this.
///
/// # Errors
/// When the cluster does not exist, or no TCP port is free.
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
                // The owner never writes to this pipe, so this read returns when the owner exits.
                let _ = io::stdin().read(&mut [0]);
                if let Err(error) = take_down(name) {
                    eprintln!("can't take down the cluster {name}: {error:#}");
                }
                std::process::exit(0);
            });
        }
        for client in listener.incoming().flatten() {
            let (target, netns) = (&target, &netns);
            scope.spawn(move || {
                if let Err(error) = forward(&client, netns, target) {
                    eprintln!("can't forward a connection to the API server: {error:#}");
                }
            });
        }
    });
    Ok(())
}

/// Forwards bytes in both directions between `client` and `target` until both have closed.
fn forward(client: &TcpStream, netns: &Netns, target: &str) -> Result<()> {
    let server = netns.within(|| Ok(TcpStream::connect(target)?))?;
    thread::scope(|scope| {
        scope.spawn(|| copy(client, &server));
        copy(&server, client);
    });
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    // A broken connection counts as closed. The shutdown passes either kind of end on.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
