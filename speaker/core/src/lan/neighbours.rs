//! What is heard on each interface, and which foreign hosts are there: a node that hears none of
//! them is itself cut off.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::types::InterfaceIndex;

/// How many foreign hosts are remembered.
const MAX_HOSTS: usize = 8;

/// What is heard on the LAN.
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbours {
    /// Foreign hosts, the most recently learned first.
    hosts: Vec<(InterfaceIndex, IpAddr)>,
    /// When anything was last heard on each interface.
    heard: BTreeMap<InterfaceIndex, Instant>,
    /// When a broadcast was last heard on each interface where peers send some, or since when they
    /// do.
    broadcasts: BTreeMap<InterfaceIndex, Instant>,
}

impl Neighbours {
    pub(crate) fn note_heard(&mut self, now: Instant, interface: InterfaceIndex) {
        self.heard.insert(interface, now);
    }

    pub(crate) fn note_broadcast(&mut self, now: Instant, interface: InterfaceIndex) {
        if let Some(last) = self.broadcasts.get_mut(&interface) {
            *last = now;
        }
    }

    /// Replaces the set of interfaces on which peers send broadcasts.
    pub(crate) fn expect_broadcasts(&mut self, now: Instant, interfaces: &BTreeSet<InterfaceIndex>) {
        self.broadcasts.retain(|interface, _| interfaces.contains(interface));
        for interface in interfaces {
            self.broadcasts.entry(*interface).or_insert(now);
        }
    }

    /// The interfaces that have heard no broadcast for `time` although peers send some.
    pub(crate) fn deaf_interfaces(&self, now: Instant, time: Duration) -> BTreeSet<InterfaceIndex> {
        let deaf = self.broadcasts.iter().filter(|(_, last)| now >= **last + time);
        deaf.map(|(interface, _)| *interface).collect()
    }

    /// Remembers a foreign host.
    pub(crate) fn add_host(&mut self, interface: InterfaceIndex, address: IpAddr) {
        let host = (interface, address);
        if !self.hosts.contains(&host) {
            self.hosts.truncate(MAX_HOSTS - 1);
            self.hosts.insert(0, host);
        }
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = (InterfaceIndex, IpAddr)> {
        self.hosts.iter().copied()
    }

    /// Whether a foreign host is known on an interface.
    pub(crate) fn knows_host_on(&self, interface: InterfaceIndex) -> bool {
        self.hosts.iter().any(|(on, _)| *on == interface)
    }

    /// Whether anything was heard on an interface at or after `since`.
    pub(crate) fn is_heard_since(&self, interface: InterfaceIndex, since: Instant) -> bool {
        self.heard.get(&interface).is_some_and(|heard| *heard >= since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: InterfaceIndex = InterfaceIndex(1);
    const TWO: InterfaceIndex = InterfaceIndex(2);

    #[test]
    fn only_the_last_eight_foreign_hosts_are_remembered() {
        let mut neighbours = Neighbours::default();
        for host in 0..20 {
            neighbours.add_host(ONE, [192, 0, 2, host].into());
            neighbours.add_host(ONE, [192, 0, 2, host].into());
        }
        let hosts: Vec<IpAddr> = neighbours.hosts().map(|(_, address)| address).collect();
        let wanted: Vec<IpAddr> = (12..20).rev().map(|host| [192, 0, 2, host].into()).collect();
        assert_eq!(hosts, wanted);
    }

    #[test]
    fn an_interface_is_deaf_only_where_broadcasts_are_expected() {
        let start = crate::testing::start();
        let minute = Duration::from_secs(60);
        let mut neighbours = Neighbours::default();
        neighbours.expect_broadcasts(start, &BTreeSet::from([ONE]));
        neighbours.note_broadcast(start + minute / 2, TWO);
        assert_eq!(
            neighbours.deaf_interfaces(start + minute, minute),
            BTreeSet::from([ONE])
        );
        neighbours.note_broadcast(start + minute / 2, ONE);
        assert_eq!(neighbours.deaf_interfaces(start + minute, minute), BTreeSet::new());
    }
}
