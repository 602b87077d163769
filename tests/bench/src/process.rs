//! Memory, CPU time and age of a process, read from `/proc`.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// Clock ticks per second in `/proc` (`USER_HZ`, the same on every Linux that we build for).
const HZ: u64 = 100;

/// Index of `utime` in `/proc/PID/stat`.
const USER_TIME: usize = 13;

/// Index of `stime` in `/proc/PID/stat`.
const SYSTEM_TIME: usize = 14;

/// Index of `starttime` in `/proc/PID/stat`.
const START_TIME: usize = 21;

/// A process on this machine, by its PID.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// Returns the resident memory in units of 1024 KiB.
    #[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2⁵² kilobytes")]
    pub fn megabytes(self) -> Result<f64> {
        Ok(self.kilobytes()? as f64 / 1024.0)
    }

    fn kilobytes(self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let resident = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS in /proc/PID/status")?;
        Ok(resident.trim().trim_end_matches(" kB").trim().parse()?)
    }

    /// Returns the CPU time used so far, in user and kernel mode.
    pub fn cpu(self) -> Result<Duration> {
        Ok(duration_of(self.stat(USER_TIME)? + self.stat(SYSTEM_TIME)?))
    }

    /// Returns the time since the process started.
    pub fn age(self) -> Result<Duration> {
        let text = fs::read_to_string("/proc/uptime")?;
        let uptime: f64 = text.split(' ').next().context("/proc/uptime is empty")?.parse()?;
        let started = duration_of(self.stat(START_TIME)?);
        Ok(Duration::from_secs_f64(uptime).saturating_sub(started))
    }

    /// Returns a field of `/proc/PID/stat`, counted from 0. Only fields after the name can be read.
    fn stat(self, index: usize) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // Field 1 is the program's name in parentheses, which may itself contain spaces and
        // parentheses. Count from its end.
        let rest = text.rsplit_once(')').context("/proc/PID/stat has no name")?.1;
        let field = rest.split_whitespace().nth(index - 2);
        Ok(field.context("/proc/PID/stat is too short")?.parse()?)
    }
}

fn duration_of(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / HZ)
}
