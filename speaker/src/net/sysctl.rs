//! How the kernel is set: the parameters of `/proc/sys/net` that decide whether announced addresses work. They have no events; they are
//! read with the links, which are looked at once a minute even without a change.

use std::fs;

use lodestone_speaker_core::{
    Interface,
    node::preflight::{Kernel, Parameters},
};

/// Reads what matters of the interfaces that addresses are announced on.
pub(super) fn read(interfaces: &[Interface]) -> Kernel {
    let announcing = interfaces.iter().filter(|interface| interface.can_announce());
    let parameters = announcing.map(|interface| (interface.name.clone(), parameters(&interface.name)));
    Kernel {
        parameters: parameters.collect(),
        default_routes: fs::read_to_string("/proc/net/route")
            .map(|text| default_routes(&text))
            .unwrap_or_default(),
    }
}

/// Those in force: of the one for all interfaces and the one of this interface the higher counts (ip-sysctl in the kernel's documentation).
fn parameters(interface: &str) -> Parameters {
    let value = |name: &str| {
        let read = |of: &str| {
            let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{of}/{name}")).ok()?;
            text.trim().parse::<u8>().ok()
        };
        // Of an interface that has just gone nothing is known, and nothing is said.
        read("all").max(read(interface)).unwrap_or_default()
    };
    Parameters {
        arp_ignore: value("arp_ignore"),
        arp_announce: value("arp_announce"),
        rp_filter: value("rp_filter"),
    }
}

/// The interfaces of the default routes: lines of interface, destination, gateway, flags, reference count, use, metric, mask.
fn default_routes(text: &str) -> std::collections::BTreeSet<String> {
    let routes = text
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    routes
        .filter(|fields| fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000"))
        .filter_map(|fields| fields.first().map(|name| (*name).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_of_the_default_route_is_found() {
        let text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                    eth0\t00000000\t017AA8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    lan0\t007AA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                    tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n";
        assert_eq!(default_routes(text), ["eth0".to_owned()].into());
        assert_eq!(default_routes("nonsense\n\n\u{0}"), [].into());
    }
}
