//! Holds the network namespace of a pod open until SIGTERM or SIGINT. As the first process of the
//! pod, it also reaps orphaned processes.
#![forbid(unsafe_code)]

use anyhow::Result;
use nix::sys::{
    signal::{SigSet, Signal},
    wait::{WaitPidFlag, WaitStatus, waitpid},
};

fn main() -> Result<()> {
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD]);
    // The kernel delivers to the first process of a pid namespace only signals that the process
    // handles. Blocking them and waiting for them counts as handling.
    signals.thread_block()?;
    while signals.wait()? == Signal::SIGCHLD {
        while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
    }
    Ok(())
}
