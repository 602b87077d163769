//! What the kernel says of a process.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// Clock ticks of `/proc` in a second (`USER_HZ`, the same on every Linux that we build for).
const HZ: u64 = 100;

/// A process.
#[derive(Clone, Copy, Debug)]
pub struct Process(
    /// Its pid.
    pub u32,
);

impl Process {
    /// Memory that it has resident.
    #[expect(clippy::cast_precision_loss, reason = "megabytes are far below 2⁵² kilobytes")]
    pub fn megabytes(self) -> Result<f64> {
        Ok(self.resident()? as f64 / 1024.0)
    }

    /// The same in kilobytes.
    fn resident(self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
    }

    /// CPU time that it has used.
    pub fn cpu(self) -> Result<Duration> {
        Ok(ticks(self.field(13)? + self.field(14)?))
    }

    /// How long ago it was started.
    pub fn age(self) -> Result<Duration> {
        let text = fs::read_to_string("/proc/uptime")?;
        let uptime: f64 = text.split(' ').next().context("no uptime")?.parse()?;
        Ok(Duration::from_secs_f64(uptime).saturating_sub(ticks(self.field(21)?)))
    }

    /// A field of `/proc/PID/stat`, counted from 0.
    fn field(self, index: usize) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // The second one is a name in parentheses, which may hold anything.
        let rest = text.rsplit_once(')').context("not a stat line")?.1;
        Ok(rest.split_whitespace().nth(index - 2).context("too short")?.parse()?)
    }
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / HZ)
}
