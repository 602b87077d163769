//! What a user chooses by flags.

use std::time::Duration;

use clap::ValueEnum;

/// When a node answers for another one whose speaker is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Caretaker {
    /// As soon as there is a doubt whether the speaker is there.
    #[default]
    Doubt,
    /// Always, beside it: then nobody notices that it goes.
    Always,
    /// Never: what a speaker that goes away has owned moves. For switches that inspect ARP.
    Off,
}

/// Who owns an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Ownership {
    /// Whoever has it, as long as it may; new ones are shared out fairly.
    #[default]
    Sticky,
    /// Always the first in the order of the hashes, as with MetalLB: addresses go back when a node returns.
    Hash,
}

/// What a user chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When a node answers for another one.
    pub caretaker: Caretaker,
    /// Who owns an address.
    pub ownership: Ownership,
    /// How often what is owned is announced unasked; zero: never but at first.
    pub refresh: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            caretaker: Caretaker::default(),
            ownership: Ownership::default(),
            refresh: Duration::from_secs(60),
        }
    }
}
