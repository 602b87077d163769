//! Excludes interfaces from announcing, by name.

use regex_lite::Regex;

/// The patterns in force unless the user sets others: interfaces of containers, tunnels and virtual
/// machines. They are copied verbatim from the list that MetalLB ships.
pub const DEFAULT_PATTERNS: [&str; 14] = [
    "^docker.*",
    "^cbr.*",
    "^dummy.*",
    "^virbr.*",
    "^lxcbr.*",
    "^veth.*",
    "^lo$",
    "^cali.*",
    "^tunl.*",
    "^flannel.*",
    "^kube-ipvs.*",
    "^cni.*",
    "^nodelocaldns.*",
    "^lxc.*",
];

/// A regular expression for interface names. As in MetalLB, it may match anywhere in the name
/// unless it is anchored.
#[derive(Clone, Debug)]
pub struct InterfacePattern(Regex);

impl std::str::FromStr for InterfacePattern {
    type Err = regex_lite::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Regex::new(text).map(Self)
    }
}

/// Whether the interface `name` must not announce addresses. The loopback interface is always
/// excluded.
#[must_use]
pub fn is_excluded(patterns: &[InterfacePattern], name: &str) -> bool {
    name == "lo" || patterns.iter().any(|pattern| pattern.0.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<InterfacePattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn default_patterns_exclude_containers_and_tunnels_only() {
        let patterns = patterns(&DEFAULT_PATTERNS);
        for name in [
            "lo",
            "docker0",
            "veth12",
            "cni0",
            "cali1234",
            "flannel.1",
            "kube-ipvs0",
            "lxcbr0",
        ] {
            assert!(is_excluded(&patterns, name), "{name}");
        }
        for name in ["eth0", "lan0", "bond0.7", "local0", "enp3s0", "mydocker0"] {
            assert!(!is_excluded(&patterns, name), "{name}");
        }
    }

    #[test]
    fn custom_patterns_replace_the_default_and_loopback_stays_excluded() {
        let patterns = patterns(&["^eth[1-9]$", "storage"]);
        let excluded = ["lo", "eth0", "eth1", "docker0", "vlan.storage.7"].map(|name| is_excluded(&patterns, name));
        assert_eq!(excluded, [true, false, true, false, true]);
        assert!("(".parse::<InterfacePattern>().is_err());
    }
}
