//! What a world consists of.

use lodestone_speaker::core::Settings;

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
    /// Settings of all speakers.
    pub settings: Settings,
}
