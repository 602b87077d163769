//! The network interfaces of this node.

use std::net::Ipv6Addr;

use ipnet::IpNet;
use serde::Serialize;

use crate::{
    types::{InterfaceIndex, MacAddr},
    wire::message::Network,
};

/// A network interface of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// The number of the interface in the kernel.
    pub index: InterfaceIndex,
    /// The name of the interface. L2Advertisements and the exclude patterns match it.
    pub name: String,
    /// The MAC, if the interface has an Ethernet address.
    #[serde(serialize_with = "serialize_mac")]
    pub mac: Option<MacAddr>,
    /// Whether the interface is up with carrier.
    pub running: bool,
    /// Whether the interface can broadcast and ARP is not switched off.
    pub can_arp: bool,
    /// Whether the interface is a port of a bridge or a bond. The bridge or bond announces instead.
    pub enslaved: bool,
    /// Whether the user has excluded the interface by name.
    pub excluded: bool,
    /// The addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
}

/// An interface that can announce, reduced to what frames need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InterfacePort {
    pub(crate) index: InterfaceIndex,
    pub(crate) mac: MacAddr,
    pub(crate) link_local: Option<Ipv6Addr>,
}

impl Interface {
    /// Whether addresses can be announced on this interface.
    #[must_use]
    pub fn can_announce(&self) -> bool {
        self.running && self.is_for_announcing()
    }

    /// Whether only the carrier is missing to announce here, on an interface where hosts are
    /// expected.
    #[must_use]
    pub fn lacks_carrier(&self) -> bool {
        !self.running && self.is_for_announcing() && self.addresses.iter().any(identifies_link)
    }

    fn is_for_announcing(&self) -> bool {
        self.can_arp && !self.enslaved && !self.excluded && self.mac.is_some()
    }

    /// The link-local address, the source of Neighbor Advertisements.
    #[must_use]
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpNet::V6(v6) if v6.addr().is_unicast_link_local() => Some(v6.addr()),
            _ => None,
        })
    }

    /// What other speakers are told of this interface.
    #[must_use]
    pub fn network(&self) -> Network {
        let addresses = self.addresses.iter().filter(|address| identifies_link(address));
        Network {
            interface: self.name.clone(),
            mac: self.mac.unwrap_or_default(),
            addresses: addresses.copied().collect(),
            usable: self.running,
        }
    }

    pub(crate) fn port(&self) -> Option<InterfacePort> {
        Some(InterfacePort {
            index: self.index,
            mac: self.mac?,
            link_local: self.link_local(),
        })
    }
}

/// Whether an address says anything about its link. The IPv4 link-local prefix is on every link and
/// says nothing. The IPv6 one says that the link has IPv6.
fn identifies_link(address: &IpNet) -> bool {
    match address {
        IpNet::V4(v4) => !v4.network().is_link_local(),
        IpNet::V6(_) => true,
    }
}

fn serialize_mac<S: serde::Serializer>(mac: &Option<MacAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    match mac {
        Some(mac) => serializer.collect_str(mac),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ethernet;

    #[test]
    fn only_running_ethernets_outside_bridges_announce() {
        let good = ethernet(1, "eth0", &[]);
        assert!(good.can_announce());
        let broken: [fn(&mut Interface); 5] = [
            |interface| interface.running = false,
            |interface| interface.can_arp = false,
            |interface| interface.enslaved = true,
            |interface| interface.excluded = true,
            |interface| interface.mac = None,
        ];
        for spoil in broken {
            let mut bad = good.clone();
            spoil(&mut bad);
            assert!(!bad.can_announce(), "{bad:?}");
        }
    }
}
