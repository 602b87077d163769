//! What an operator chooses by flags.

use std::{fmt, str::FromStr, time::Duration};

/// A mode that is none of the known ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of: {}", .0.join(", "))]
pub struct UnknownMode(pub &'static [&'static str]);

/// When a deputy answers ARP and NDP for another node's addresses, with that node's MAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeputyMode {
    /// As soon as the owner's speaker is suspect.
    #[default]
    OnSuspect,
    /// At all times, beside the owner: clients then see no gap when the owner's speaker stops.
    Always,
    /// Never: the addresses of a speaker that is down move. For switches that inspect ARP.
    Off,
}

impl DeputyMode {
    /// The values of the flag `--deputy`.
    pub const NAMES: &[&str] = &["on-suspect", "always", "off"];
}

impl FromStr for DeputyMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "on-suspect" => Ok(Self::OnSuspect),
            "always" => Ok(Self::Always),
            "off" => Ok(Self::Off),
            _ => Err(UnknownMode(Self::NAMES)),
        }
    }
}

impl fmt::Display for DeputyMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnSuspect => "on-suspect",
            Self::Always => "always",
            Self::Off => "off",
        })
    }
}

/// Which node owns an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnershipMode {
    /// The present owner, as long as it is eligible; addresses without an owner are shared out
    /// fairly.
    #[default]
    Sticky,
    /// The first node in the order of the hashes, as with MetalLB: an address goes back when its
    /// node returns.
    Hash,
}

impl OwnershipMode {
    /// The values of the flag `--ownership`.
    pub const NAMES: &[&str] = &["sticky", "hash"];
}

impl FromStr for OwnershipMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sticky" => Ok(Self::Sticky),
            "hash" => Ok(Self::Hash),
            _ => Err(UnknownMode(Self::NAMES)),
        }
    }
}

impl fmt::Display for OwnershipMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sticky => "sticky",
            Self::Hash => "hash",
        })
    }
}

/// Whether speakers look for foreign hosts that use an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConflictDetectionMode {
    /// A new address is probed before it is announced, and an announced address is defended.
    #[default]
    On,
    /// Neither: a new address is announced at once, and frames of foreign hosts change nothing. For
    /// networks that answer for every address, such as those with local proxy ARP. A defence would
    /// fight with the network itself there, so there is none.
    Off,
}

impl ConflictDetectionMode {
    /// The values of the flag `--conflict-detection`.
    pub const NAMES: &[&str] = &["on", "off"];
}

impl FromStr for ConflictDetectionMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(UnknownMode(Self::NAMES)),
        }
    }
}

impl fmt::Display for ConflictDetectionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

/// What an operator chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When a deputy answers for another node.
    pub deputy: DeputyMode,
    /// Which node owns an address.
    pub ownership: OwnershipMode,
    /// Whether to look for foreign hosts that use an address.
    pub conflict_detection: ConflictDetectionMode,
    /// How long a speaker may be down while its node lives, before the addresses of the node move.
    /// Zero: they move at once.
    pub speaker_down_limit: Duration,
    /// The time between two gratuitous announcements of an address. Zero: announce only when the
    /// owner changes.
    pub announce_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deputy: DeputyMode::default(),
            ownership: OwnershipMode::default(),
            conflict_detection: ConflictDetectionMode::default(),
            speaker_down_limit: Duration::from_secs(60),
            announce_interval: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_is_parsed_from_its_own_name() {
        for name in DeputyMode::NAMES {
            assert_eq!(
                name.parse::<DeputyMode>().map(|mode| mode.to_string()).as_deref(),
                Ok(*name)
            );
        }
        for name in OwnershipMode::NAMES {
            assert_eq!(
                name.parse::<OwnershipMode>().map(|mode| mode.to_string()).as_deref(),
                Ok(*name)
            );
        }
        for name in ConflictDetectionMode::NAMES {
            assert_eq!(
                name.parse::<ConflictDetectionMode>()
                    .map(|mode| mode.to_string())
                    .as_deref(),
                Ok(*name)
            );
        }
        assert!("maybe".parse::<ConflictDetectionMode>().is_err());
        assert!("doubt".parse::<DeputyMode>().is_err());
    }
}
