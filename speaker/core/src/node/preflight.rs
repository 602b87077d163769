//! Checks the node for settings that break announced addresses although announcing itself works.
//!
//! Each [`NodeProblem`] names its effect and the command that fixes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::interface::Interface;
use crate::node_problem::NodeProblem;

/// The interface to which kube-proxy in IPVS mode assigns the addresses of all Services.
const IPVS: &str = "kube-ipvs0";

/// The kernel settings that decide whether announced addresses work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelSettings {
    /// The parameters in force on each announcing interface, by interface name.
    pub parameters: BTreeMap<String, InterfaceParameters>,
    /// The outgoing interfaces of the IPv4 default routes.
    pub default_routes: BTreeSet<String>,
    /// The routers of the IPv4 default routes, each with the interface that leads to it.
    pub gateways: BTreeSet<(String, IpAddr)>,
}

/// Parameters of one interface: `net.ipv4.conf.*`, see ip-sysctl in the kernel documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceParameters {
    /// From 1 on, the kernel answers ARP only for addresses of the interface that received the
    /// request.
    pub arp_ignore: u8,
    /// At 2, the kernel sends ARP requests from an address of the outgoing interface only.
    pub arp_announce: u8,
    /// At 1 (strict), the kernel drops packets whose reply would leave through another interface.
    /// At 2 (loose), it drops only packets from sources without any route.
    pub rp_filter: u8,
}

/// Returns every problem of this node.
///
/// `deaf` names the interfaces that receive no ARP broadcasts. An interface without an entry in
/// `kernel` is skipped.
#[must_use]
pub(crate) fn find_problems<'a>(
    interfaces: &[Interface],
    kernel: &KernelSettings,
    deaf: impl IntoIterator<Item = &'a str>,
) -> BTreeSet<NodeProblem> {
    let mut problems = BTreeSet::new();
    let uses_ipvs = interfaces.iter().any(|interface| interface.name == IPVS);
    let mut answering = BTreeSet::new();
    for interface in interfaces.iter().filter(|interface| interface.can_announce()) {
        let Some(parameters) = kernel.parameters.get(&interface.name) else {
            continue;
        };
        if uses_ipvs && (parameters.arp_ignore == 0 || parameters.arp_announce < 2) {
            answering.insert(interface.name.clone());
        }
        let default = kernel
            .default_routes
            .first()
            .filter(|_| !kernel.default_routes.contains(&interface.name));
        if let Some(default) = default.filter(|_| parameters.rp_filter == 1) {
            problems.insert(NodeProblem::StrictReversePath {
                interface: interface.name.clone(),
                default: default.clone(),
            });
        }
    }
    if !answering.is_empty() {
        problems.insert(NodeProblem::IpvsAnswers { interfaces: answering });
    }
    problems.extend(deaf.into_iter().map(|interface| NodeProblem::HearsNoBroadcast {
        interface: interface.to_owned(),
    }));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ethernet;

    fn kernel(arp_ignore: u8, arp_announce: u8, rp_filter: u8, default: &str) -> KernelSettings {
        let parameters = InterfaceParameters {
            arp_ignore,
            arp_announce,
            rp_filter,
        };
        KernelSettings {
            parameters: ["lan0", "lan1"].map(|name| (name.to_owned(), parameters)).into(),
            default_routes: [default.to_owned()].into(),
            gateways: BTreeSet::new(),
        }
    }

    fn texts(interfaces: &[&str], kernel: &KernelSettings) -> Vec<String> {
        let interfaces: Vec<Interface> = (1..)
            .zip(interfaces)
            .map(|(index, name)| ethernet(index, name, &[]))
            .collect();
        find_problems(&interfaces, kernel, [])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn ipvs_without_strict_arp_is_reported_with_the_fix() {
        for (arp_ignore, arp_announce, is_problem) in
            [(0, 0, true), (1, 0, true), (0, 2, true), (1, 2, false), (2, 2, false)]
        {
            let kernel = kernel(arp_ignore, arp_announce, 0, "lan0");
            let texts = texts(&["lan0", "lan1", IPVS], &kernel);
            assert_eq!(texts.len(), usize::from(is_problem), "{arp_ignore} {arp_announce}");
            assert!(texts.iter().all(|text| text.contains("on lan0, lan1 for")), "{texts:?}");
            let command = "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2";
            assert!(
                texts
                    .iter()
                    .all(|text| text.contains("strictARP: true") && text.contains(command))
            );
        }
        assert_eq!(
            texts(&["lan0"], &kernel(0, 0, 0, "lan0")),
            [""; 0],
            "without IPVS these settings are no problem"
        );
    }

    #[test]
    fn strict_rp_filter_is_a_problem_if_the_default_route_is_elsewhere() {
        for (rp_filter, default, is_problem) in [
            (0, "eth0", false),
            (1, "eth0", true),
            (2, "eth0", false),
            (1, "lan0", false),
        ] {
            let texts = texts(&["lan0", "eth0"], &kernel(0, 0, rp_filter, default));
            assert_eq!(texts.len(), usize::from(is_problem), "{rp_filter} {default}: {texts:?}");
            assert!(
                texts
                    .iter()
                    .all(|text| text.contains("net.ipv4.conf.lan0.rp_filter=2") && text.contains("eth0"))
            );
        }
    }
}
