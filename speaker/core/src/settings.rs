//! What an operator chooses by flags.

use std::{fmt, str::FromStr, time::Duration};

/// A mode that is none of the known ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of: {}", .0.join(", "))]
pub struct UnknownMode(pub &'static [&'static str]);

/// Gives a mode the names of its values: [`FromStr`], [`fmt::Display`] and the list `NAMES`.
macro_rules! mode_names {
    ($mode:ident: $($name:literal => $value:ident),+) => {
        impl $mode {
            /// The names of all values, as the flag takes them.
            pub const NAMES: &[&str] = &[$($name),+];
        }

        impl FromStr for $mode {
            type Err = UnknownMode;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$value),)+
                    _ => Err(UnknownMode(Self::NAMES)),
                }
            }
        }

        impl fmt::Display for $mode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$value => $name,)+
                })
            }
        }
    };
}

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

mode_names!(DeputyMode: "on-suspect" => OnSuspect, "always" => Always, "off" => Off);

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

mode_names!(OwnershipMode: "sticky" => Sticky, "hash" => Hash);

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

mode_names!(ConflictDetectionMode: "on" => On, "off" => Off);

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

    fn names_of<Mode: FromStr<Err = UnknownMode> + ToString>(names: &[&str]) -> Vec<String> {
        let modes = names.iter().map(|name| name.parse::<Mode>().unwrap());
        modes.map(|mode| mode.to_string()).collect()
    }

    #[test]
    fn each_mode_is_parsed_from_its_own_name() {
        assert_eq!(
            names_of::<DeputyMode>(DeputyMode::NAMES),
            ["on-suspect", "always", "off"]
        );
        assert_eq!(names_of::<OwnershipMode>(OwnershipMode::NAMES), ["sticky", "hash"]);
        assert_eq!(
            names_of::<ConflictDetectionMode>(ConflictDetectionMode::NAMES),
            ["on", "off"]
        );
    }

    #[test]
    fn unknown_mode_is_refused_with_the_list_of_names() {
        let error = "doubt".parse::<DeputyMode>().unwrap_err();
        assert_eq!(error.to_string(), "must be one of: on-suspect, always, off");
    }
}
