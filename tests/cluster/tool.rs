//! Tools: programs that run to completion.

use std::{
    ffi::OsStr,
    io::Write,
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};

/// A command line that is about to run.
#[derive(Debug)]
pub struct Tool {
    command: Command,
    input: Option<String>,
}

impl Tool {
    /// A tool, by its path or by its name in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(program),
            input: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Sets the text for its standard input, which is empty by default.
    #[must_use]
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// Starts the tool, for a caller that reads its standard output while it runs.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(mut self) -> Result<Child> {
        let what = format!("{:?}", self.command);
        let command = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command.spawn().with_context(|| format!("can't run {what}"))
    }

    /// Runs the tool and returns its output, whether it succeeds or fails.
    ///
    /// # Errors
    /// When the tool can't be started.
    pub fn output(mut self) -> Result<Output> {
        let what = format!("{:?}", self.command);
        self.command.stdin(if self.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().with_context(|| format!("can't run {what}"))?;
        if let (Some(text), Some(mut stdin)) = (self.input.take(), child.stdin.take()) {
            // A tool that exits before it has read everything reports the reason itself.
            let _ = stdin.write_all(text.as_bytes());
        }
        child
            .wait_with_output()
            .with_context(|| format!("can't read the output of {what}"))
    }

    /// Runs the tool and returns its standard output.
    ///
    /// # Errors
    /// When the tool can't be started or fails. The error contains its standard error.
    pub fn run(self) -> Result<String> {
        let what = format!("{:?}", self.command);
        let output = self.output()?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!(
                "{what} failed ({}):\n{}{stdout}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(stdout)
    }
}

/// Runs `program` with `args` and returns its standard output.
///
/// # Errors
/// As [`Tool::run`].
pub fn run(program: impl AsRef<OsStr>, args: &[&str]) -> Result<String> {
    Tool::new(program).args(args).run()
}
