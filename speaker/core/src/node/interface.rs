//! The network interfaces of this node.

use std::net::Ipv6Addr;

use ipnet::IpNet;
use pnet_base::MacAddr;
use serde::Serialize;

use crate::wire::message::Network;

/// A network interface of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its index in the kernel.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its address, where it has an Ethernet one.
    #[serde(serialize_with = "as_text")]
    pub mac: Option<MacAddr>,
    /// Whether it is up and has a carrier.
    pub running: bool,
    /// Whether it is an Ethernet that hosts are asked for on: it can broadcast, and ARP is not switched off.
    pub asks: bool,
    /// Whether it is a port of a bridge or a bond: those announce, not their ports.
    pub enslaved: bool,
    /// Whether the user has excluded it by its name.
    pub excluded: bool,
    /// Its addresses, with the prefixes that they are in.
    pub addresses: Vec<IpNet>,
}

impl Interface {
    /// Whether addresses can be announced on it.
    #[must_use]
    pub fn can_announce(&self) -> bool {
        self.running && self.is_for_announcing()
    }

    /// Whether addresses would be announced on it if it had a carrier: hosts are expected there.
    #[must_use]
    pub fn lacks_carrier(&self) -> bool {
        !self.running && self.is_for_announcing() && self.addresses.iter().any(tells)
    }

    fn is_for_announcing(&self) -> bool {
        self.asks && !self.enslaved && !self.excluded && self.mac.is_some()
    }

    /// Its link-local address, which its advertisements of IPv6 addresses come from.
    #[must_use]
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpNet::V6(v6) if v6.addr().is_unicast_link_local() => Some(v6.addr()),
            _ => None,
        })
    }

    /// What other speakers are told of it.
    #[must_use]
    pub fn network(&self) -> Network {
        Network {
            interface: self.name.clone(),
            mac: self.mac.unwrap_or_default().into(),
            addresses: self
                .addresses
                .iter()
                .filter(|address| tells(address))
                .copied()
                .collect(),
            carrier: self.running,
        }
    }
}

/// Whether an address tells anything of a link. Every link has the IPv4 link-local prefix: that tells nothing. The one of IPv6 tells that there is
/// IPv6 on this one.
fn tells(address: &IpNet) -> bool {
    match address {
        IpNet::V4(v4) => !v4.network().is_link_local(),
        IpNet::V6(_) => true,
    }
}

fn as_text<S: serde::Serializer>(mac: &Option<MacAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&mac.unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An Ethernet interface with these addresses.
    pub(crate) fn ethernet(index: u32, name: &str, addresses: &[&str]) -> Interface {
        Interface {
            index,
            name: name.to_owned(),
            mac: Some(MacAddr::new(2, 0, 0, 0, 0, u8::try_from(index).unwrap())),
            running: true,
            asks: true,
            enslaved: false,
            excluded: false,
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn only_running_ethernets_that_are_no_ports_announce() {
        let good = ethernet(1, "eth0", &[]);
        assert!(good.can_announce());
        for bad in [
            Interface {
                running: false,
                ..good.clone()
            },
            Interface {
                asks: false,
                ..good.clone()
            },
            Interface {
                enslaved: true,
                ..good.clone()
            },
            Interface {
                excluded: true,
                ..good.clone()
            },
            Interface {
                mac: None,
                ..good.clone()
            },
        ] {
            assert!(!bad.can_announce(), "{bad:?}");
        }
    }
}
