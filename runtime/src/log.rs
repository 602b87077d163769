//! Logging to standard error: one line for each change of state.

use clap::ValueEnum;
use tracing::Level as Max;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Plain text
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// The least severe level that is logged. The names are those of MetalLB's flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Everything, including the libraries
    All,
    /// Details for developers
    Debug,
    /// Changes of state
    #[default]
    Info,
    /// Problems that need attention
    Warn,
    /// Failures
    Error,
    /// Nothing
    None,
}

impl Level {
    fn targets(self) -> Targets {
        // The watches report a failed connection themselves, and more clearly than kube does.
        let quiet =
            |targets: Targets| targets.with_targets([("kube_client", Max::ERROR), ("kube_runtime", Max::ERROR)]);
        let libraries = ["hyper", "hyper_util", "h2", "tower", "rustls"];
        match self {
            Self::All => Targets::new().with_default(Max::TRACE),
            Self::Debug => Targets::new()
                .with_default(Max::DEBUG)
                .with_targets(libraries.map(|name| (name, Max::INFO))),
            Self::Info => quiet(Targets::new().with_default(Max::INFO)),
            Self::Warn => quiet(Targets::new().with_default(Max::WARN)),
            Self::Error => Targets::new().with_default(Max::ERROR),
            Self::None => Targets::new(),
        }
    }
}

/// Installs the logger of the process. Call it once, before anything is logged.
pub fn start(level: Level, format: Format) {
    let registry = tracing_subscriber::registry().with(level.targets());
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(false);
    match format {
        Format::Text => registry.with(layer.with_ansi(false)).init(),
        Format::Json => registry.with(layer.json().flatten_event(true)).init(),
    }
}
