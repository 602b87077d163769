//! What a world consists of.

use lodestone_speaker_core::Settings;

/// Size, layout and settings of a world.
#[derive(Clone, Debug)]
pub struct WorldSpec {
    /// Seed of all random choices.
    pub seed: u64,
    /// Number of nodes.
    pub nodes: usize,
    /// Number of addresses. Every third is an IPv6 address.
    pub addresses: usize,
    /// Whether the nodes have a network of their own, apart from the LAN.
    pub split: bool,
    /// An interface that each node has besides.
    pub extra: ExtraInterface,
    /// Whether the client asks so rarely that its requests tell the speakers nothing.
    pub quiet: bool,
    /// The number of nodes, the first ones, whose speakers are of the release before. They do not
    /// know the newest kind of message.
    pub older: usize,
    /// Settings of all speakers.
    pub settings: Settings,
}

/// An interface that each node has besides those of the LAN and of the node network. All addresses
/// are still in the prefix of the LAN, or in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExtraInterface {
    /// No further interface.
    #[default]
    None,
    /// A device of one name on all nodes that leads nowhere, as an overlay network may have.
    Overlay,
    /// An interface on a second network that all nodes share.
    Storage,
    /// A second port on the LAN, with an address of the same prefix.
    SecondPort,
}
