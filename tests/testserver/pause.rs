//! Holds a pod's network namespace open: waits until it is told to end, and collects orphans as the first process of a pod.
#![forbid(unsafe_code)]

use anyhow::Result;
use nix::sys::{
    signal::{SigSet, Signal},
    wait::{WaitPidFlag, WaitStatus, waitpid},
};

fn main() -> Result<()> {
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD]);
    // The first process of a namespace gets only the signals that it asked for; blocked ones are asked for by waiting.
    signals.thread_block()?;
    while signals.wait()? == Signal::SIGCHLD {
        while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
    }
    Ok(())
}
