//! What the driver is made from.

use lodestone_runtime::admin::Query;
use lodestone_speaker_core::{InterfacePattern, NodeName, Settings};
use tokio::sync::mpsc;

use crate::channels::DriverChannels;

/// What the driver needs to start.
#[derive(Debug)]
pub(crate) struct DriverParts {
    /// The name of this node.
    pub(crate) node: NodeName,
    /// The UDP port of all speakers.
    pub(crate) port: u16,
    /// The settings of the core.
    pub(crate) settings: Settings,
    /// Interfaces on which nothing is ever announced.
    pub(crate) exclude: Vec<InterfacePattern>,
    /// The channels to the main thread.
    pub(crate) channels: DriverChannels,
    /// Requests for `/debug/state` and `/metrics`.
    pub(crate) queries: mpsc::Receiver<Query>,
}
