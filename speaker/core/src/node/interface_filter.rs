//! Interfaces that are never announced on, by their names.

use regex_lite::Regex;

/// Interfaces of containers, tunnels and virtual machines: the list that MetalLB ships, as it writes it.
pub const DEFAULT: [&str; 14] = [
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

/// One regular expression that names of interfaces are held against. Like MetalLB's it may match anywhere, unless it is anchored.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl std::str::FromStr for Pattern {
    type Err = regex_lite::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Regex::new(text).map(Self)
    }
}

/// Whether an interface of this name is never announced on. The loopback interface never is, whatever the patterns say.
#[must_use]
pub fn is_excluded(patterns: &[Pattern], name: &str) -> bool {
    name == "lo" || patterns.iter().any(|pattern| pattern.0.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_default_list_leaves_containers_and_tunnels_alone() {
        let patterns = patterns(&DEFAULT);
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
    fn another_list_takes_its_place_and_the_loopback_stays_out() {
        let patterns = patterns(&["^eth[1-9]$", "storage"]);
        let excluded = ["lo", "eth0", "eth1", "docker0", "vlan.storage.7"].map(|name| is_excluded(&patterns, name));
        assert_eq!(excluded, [true, false, true, false, true]);
        assert!("(".parse::<Pattern>().is_err());
    }
}
