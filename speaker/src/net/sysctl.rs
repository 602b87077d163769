//! The kernel's settings in `/proc/sys/net` that decide whether announced addresses work.
//!
//! The kernel reports no events for them. They are read together with the interfaces, at least once
//! a minute.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
};

use lodestone_speaker_core::{Interface, InterfaceParameters, KernelSettings};

/// Reads the settings of the interfaces on which the node announces.
pub(super) fn read(interfaces: &[Interface]) -> KernelSettings {
    let announcing = interfaces.iter().filter(|interface| interface.can_announce());
    let parameters = announcing.map(|interface| (interface.name.clone(), parameters(&interface.name)));
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    KernelSettings {
        parameters: parameters.collect(),
        default_routes: default_routes(&routes).map(|(interface, _)| interface).collect(),
        gateways: default_routes(&routes)
            .filter(|(_, gateway)| !gateway.is_unspecified())
            .collect(),
    }
}

/// Returns the parameters in force on `interface`. The kernel uses the higher one of the value for
/// all interfaces and the value for this interface (ip-sysctl in the kernel's documentation).
fn parameters(interface: &str) -> InterfaceParameters {
    let value = |name: &str| {
        let read = |folder: &str| {
            let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{folder}/{name}")).ok()?;
            text.trim().parse::<u8>().ok()
        };
        // An interface that has just gone has no folder. Preflight then reports nothing for it.
        read("all").max(read(interface)).unwrap_or_default()
    };
    InterfaceParameters {
        arp_ignore: value("arp_ignore"),
        arp_announce: value("arp_announce"),
        rp_filter: value("rp_filter"),
    }
}

/// Returns the interfaces and the gateways of the default routes in the text of `/proc/net/route`.
/// The columns of a line are interface, destination, gateway, flags, reference count, use, metric,
/// mask and more. The kernel prints an address as a number in its own byte order.
fn default_routes(text: &str) -> impl Iterator<Item = (String, IpAddr)> {
    const ANY: Option<&&str> = Some(&"00000000");
    let routes = text
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    routes
        .filter(|fields| fields.get(1) == ANY && fields.get(7) == ANY)
        .filter_map(|fields| {
            let gateway = u32::from_str_radix(fields.get(2)?, 16).ok()?;
            let gateway = Ipv4Addr::from(gateway.to_ne_bytes());
            Some(((*fields.first()?).to_owned(), gateway.into()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_and_gateway_of_the_default_route_are_found() {
        let text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                    eth0\t00000000\t017AA8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    lan0\t007AA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                    tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n";
        let routes: Vec<_> = default_routes(text).collect();
        let gateway = IpAddr::from(0x017a_a8c0u32.to_ne_bytes());
        assert_eq!(routes, [("eth0".to_owned(), gateway)]);
        assert_eq!(default_routes("nonsense\n\n\u{0}").count(), 0);
    }
}
