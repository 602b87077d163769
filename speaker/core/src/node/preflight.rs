//! What is wrong with the node itself, such that announced addresses would not work however well they are announced: found before a user has
//! to, with the command that mends it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::core::interface::Interface;

/// The interface that kube-proxy gives all addresses of Services to when it balances by IPVS.
const IPVS: &str = "kube-ipvs0";

/// How the kernel is set, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    /// The parameters in force on each interface that addresses are announced on.
    pub parameters: BTreeMap<String, Parameters>,
    /// The interfaces that default routes (of IPv4) lead to.
    pub default_routes: BTreeSet<String>,
}

/// Parameters of an interface (`net.ipv4.conf`; ip-sysctl in the kernel's documentation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// From 1 on the kernel answers ARP only for addresses of the interface that the request came in by.
    pub arp_ignore: u8,
    /// 2: the kernel asks from an address of the interface that it asks on.
    pub arp_announce: u8,
    /// 1: packets are dropped whose answer would leave by another interface. 2: only those that there is no way back for at all.
    pub rp_filter: u8,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// kube-proxy balances by IPVS: every node has all addresses, and its kernel answers for them.
    IpvsAnswers {
        /// The interfaces on which it would.
        interfaces: BTreeSet<String>,
    },
    /// Packets of clients behind a router come in by an interface and are dropped, since the answers would leave by another.
    StrictReversePath {
        /// The interface.
        interface: String,
        /// Where the default route leads.
        default: String,
    },
    /// No broadcast is heard where the other nodes send some.
    HearsNoBroadcast {
        /// The interface.
        interface: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IpvsAnswers { interfaces } => write!(
                f,
                "kube-proxy uses IPVS without strictARP: the kernel of every node answers on {} for the addresses of all Services. \
                 Set ipvs.strictARP: true (kubectl -n kube-system edit configmap kube-proxy, then kubectl -n kube-system rollout restart daemonset kube-proxy), \
                 or on the node: sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2",
                interfaces.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            ),
            Self::StrictReversePath { interface, default } => write!(
                f,
                "rp_filter is strict on {interface} and the default route leads by {default}: packets of clients that are not in a prefix of {interface} are dropped. \
                 On the node: sysctl -w net.ipv4.conf.{}.rp_filter=2",
                interface.replace('.', "/")
            ),
            Self::HearsNoBroadcast { interface } => write!(
                f,
                "no ARP broadcast has been heard on {interface} for a minute, although other nodes send some: whoever asks for an address there gets no answer. \
                 Look whether the switch or the hypervisor filters broadcasts; on the node: tcpdump -eni {interface} arp"
            ),
        }
    }
}

/// Looks at everything; `deaf` are the interfaces that hear no broadcast.
#[must_use]
pub fn problems<'a>(
    interfaces: &[Interface],
    kernel: &Kernel,
    deaf: impl IntoIterator<Item = &'a str>,
) -> BTreeSet<Problem> {
    let mut problems = BTreeSet::new();
    let ipvs = interfaces.iter().any(|interface| interface.name == IPVS);
    let mut answering = BTreeSet::new();
    for interface in interfaces.iter().filter(|interface| interface.can_announce()) {
        let Some(parameters) = kernel.parameters.get(&interface.name) else {
            continue;
        };
        if ipvs && (parameters.arp_ignore == 0 || parameters.arp_announce < 2) {
            answering.insert(interface.name.clone());
        }
        let default = kernel
            .default_routes
            .first()
            .filter(|_| !kernel.default_routes.contains(&interface.name));
        if let Some(default) = default.filter(|_| parameters.rp_filter == 1) {
            problems.insert(Problem::StrictReversePath {
                interface: interface.name.clone(),
                default: default.clone(),
            });
        }
    }
    if !answering.is_empty() {
        problems.insert(Problem::IpvsAnswers { interfaces: answering });
    }
    problems.extend(deaf.into_iter().map(|interface| Problem::HearsNoBroadcast {
        interface: interface.to_owned(),
    }));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::interface::tests::ethernet;

    fn kernel(arp_ignore: u8, arp_announce: u8, rp_filter: u8, default: &str) -> Kernel {
        let parameters = Parameters {
            arp_ignore,
            arp_announce,
            rp_filter,
        };
        Kernel {
            parameters: ["lan0", "lan1"].map(|name| (name.to_owned(), parameters)).into(),
            default_routes: [default.to_owned()].into(),
        }
    }

    fn found(interfaces: &[&str], kernel: &Kernel) -> Vec<String> {
        let interfaces: Vec<Interface> = (1..)
            .zip(interfaces)
            .map(|(index, name)| ethernet(index, name, &[]))
            .collect();
        problems(&interfaces, kernel, [])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn ipvs_without_strict_arp_is_found_and_told_how_to_mend() {
        for (arp_ignore, arp_announce, wrong) in
            [(0, 0, true), (1, 0, true), (0, 2, true), (1, 2, false), (2, 2, false)]
        {
            let kernel = kernel(arp_ignore, arp_announce, 0, "lan0");
            let found = found(&["lan0", "lan1", IPVS], &kernel);
            assert_eq!(found.len(), usize::from(wrong), "{arp_ignore} {arp_announce}");
            assert!(found.iter().all(|text| text.contains("on lan0, lan1 for")), "{found:?}");
            let command = "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2";
            assert!(
                found
                    .iter()
                    .all(|text| text.contains("strictARP: true") && text.contains(command))
            );
        }
        assert_eq!(
            found(&["lan0"], &kernel(0, 0, 0, "lan0")),
            [""; 0],
            "without IPVS nothing is wrong with that"
        );
    }

    #[test]
    fn a_strict_reverse_path_is_found_where_the_way_back_is_another() {
        for (rp_filter, default, wrong) in [
            (0, "eth0", false),
            (1, "eth0", true),
            (2, "eth0", false),
            (1, "lan0", false),
        ] {
            let found = found(&["lan0", "eth0"], &kernel(0, 0, rp_filter, default));
            assert_eq!(found.len(), usize::from(wrong), "{rp_filter} {default}: {found:?}");
            assert!(
                found
                    .iter()
                    .all(|text| text.contains("net.ipv4.conf.lan0.rp_filter=2") && text.contains("eth0"))
            );
        }
    }
}
