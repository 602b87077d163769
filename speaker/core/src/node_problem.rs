//! What can be wrong with a node, so that announced addresses do not work there.

use std::{collections::BTreeSet, fmt};

/// A problem of the node that breaks announced addresses. Its `Display` is shown to users.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeProblem {
    /// kube-proxy uses IPVS without strictARP: every node has all addresses, and its kernel answers
    /// ARP for them.
    IpvsAnswers {
        /// The announcing interfaces on which the kernel answers.
        interfaces: BTreeSet<String>,
    },
    /// The kernel drops packets from clients behind a router, because the replies would leave
    /// through another interface.
    StrictReversePath {
        /// The interface with the strict filter.
        interface: String,
        /// The interface of the default route.
        default: String,
    },
    /// An interface receives no ARP broadcasts although other nodes send them on its segment.
    HearsNoBroadcast {
        /// The interface without broadcasts.
        interface: String,
    },
    /// No other speaker is heard, so nothing is known of what they own.
    NoPeerHeard,
}

impl fmt::Display for NodeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IpvsAnswers { interfaces } => write!(
                f,
                "kube-proxy uses IPVS without strictARP: the kernel of every node answers ARP on {} for the addresses of all Services. \
                 Set ipvs.strictARP: true (kubectl -n kube-system edit configmap kube-proxy, then kubectl -n kube-system rollout restart daemonset kube-proxy), \
                 or on the node: sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2",
                interfaces.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            ),
            Self::StrictReversePath { interface, default } => write!(
                f,
                "rp_filter is strict on {interface}, but the default route uses {default}: \
                 the kernel drops packets from clients outside the prefixes of {interface}. \
                 On the node: sysctl -w net.ipv4.conf.{}.rp_filter=2",
                interface.replace('.', "/")
            ),
            Self::HearsNoBroadcast { interface } => write!(
                f,
                "no ARP broadcast has been heard on {interface} for a minute, although other nodes send them: hosts there get no answer to their ARP requests. \
                 Check whether the switch or the hypervisor filters broadcasts; on the node: tcpdump -eni {interface} arp"
            ),
            Self::NoPeerHeard => f.write_str(
                "no other speaker is heard, although other nodes are ready: before this speaker announces an address, it asks whether anybody answers for it. \
                 Check three things: the nodes reach each other on the UDP port of the speakers, by default 7947; all speakers have the same key; their versions are compatible",
            ),
        }
    }
}
