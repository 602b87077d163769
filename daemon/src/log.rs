//! Logs: one line for each change of state, on standard error.

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For humans.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged. The names are those of MetalLB's flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Everything.
    All,
    /// What a developer wants to know.
    Debug,
    /// Changes of state.
    #[default]
    Info,
    /// What somebody should look at.
    Warn,
    /// What does not work.
    Error,
    /// Nothing.
    None,
}

impl Level {
    const fn directive(self) -> &'static str {
        match self {
            Self::All => "trace",
            Self::Debug => "debug,hyper=info,h2=info,tower=info,rustls=info",
            // The client's own words about a connection that failed come once more, and clearer, from the watches.
            Self::Info => "info,kube_client=error,kube_runtime=error",
            Self::Warn => "warn,kube_client=error,kube_runtime=error",
            Self::Error => "error",
            Self::None => "off",
        }
    }
}

/// Starts logging.
pub fn start(level: Level, format: Format) {
    let registry = tracing_subscriber::registry().with(EnvFilter::new(level.directive()));
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(false);
    match format {
        Format::Text => registry.with(layer.with_ansi(false)).init(),
        Format::Json => registry.with(layer.json().flatten_event(true)).init(),
    }
}
