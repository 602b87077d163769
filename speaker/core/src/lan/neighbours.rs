//! What is heard on each interface, and which foreign hosts are there: a node that hears none of
//! them is itself cut off.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::types::InterfaceIndex;

/// How many foreign hosts are remembered on each interface. Frames are cheap to forge, and must not
/// displace the hosts of another interface.
const MAX_HOSTS: usize = 8;

/// A host that was not heard for this long is asked whether it is still there.
const REFRESH_AFTER: Duration = Duration::from_secs(30);

/// A host is forgotten after this many such requests without an answer. It may be asleep or gone,
/// or never have been there.
const MAX_UNANSWERED: u8 = 3;

/// A foreign host.
#[derive(Clone, Copy, Debug)]
struct Host {
    interface: InterfaceIndex,
    address: IpAddr,
    /// When it was last heard.
    heard: Instant,
    /// How often it was asked since.
    unanswered: u8,
}

/// What is heard on the LAN.
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbours {
    /// Foreign hosts, the most recently heard first.
    hosts: Vec<Host>,
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

    /// Records that a foreign host was heard.
    pub(crate) fn note_host(&mut self, now: Instant, interface: InterfaceIndex, address: IpAddr) {
        self.hosts
            .retain(|host| (host.interface, host.address) != (interface, address));
        // mutation: hosts-of-all-interfaces-share-a-limit
        let is_here = |(_, host): &(usize, &Host)| host.interface == interface;
        let same = self.hosts.iter().enumerate().filter(is_here);
        if let Some((oldest, _)) = same.skip(MAX_HOSTS - 1).last() {
            self.hosts.remove(oldest);
        }
        let host = Host {
            interface,
            address,
            heard: now,
            unanswered: 0,
        };
        self.hosts.insert(0, host);
    }

    /// The foreign hosts on an interface, the most recently heard first.
    pub(crate) fn hosts_on(&self, interface: InterfaceIndex) -> impl Iterator<Item = IpAddr> {
        let hosts = self.hosts.iter().filter(move |host| host.interface == interface);
        hosts.map(|host| host.address)
    }

    /// Whether a foreign host is known on an interface.
    pub(crate) fn knows_host_on(&self, interface: InterfaceIndex) -> bool {
        self.hosts_on(interface).next().is_some()
    }

    /// The foreign hosts to ask now, because they were not heard for a while. Those that did not
    /// answer before are forgotten. Where this node is isolated, silence says nothing about hosts.
    pub(crate) fn refresh_hosts(
        &mut self,
        now: Instant,
        is_isolated: impl Fn(InterfaceIndex) -> bool,
    ) -> Vec<(InterfaceIndex, IpAddr)> {
        let is_due = |host: &Host| now >= host.heard + REFRESH_AFTER && !is_isolated(host.interface);
        // mutation: dead-hosts-not-forgotten
        self.hosts
            .retain(|host| !(is_due(host) && host.unanswered >= MAX_UNANSWERED));
        let mut due = Vec::new();
        for host in self.hosts.iter_mut().filter(|host| is_due(host)) {
            host.unanswered += 1;
            due.push((host.interface, host.address));
        }
        due
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
        let start = crate::testing::start();
        let mut neighbours = Neighbours::default();
        for host in 0..20 {
            neighbours.note_host(start, ONE, [192, 0, 2, host].into());
            neighbours.note_host(start, ONE, [192, 0, 2, host].into());
        }
        neighbours.note_host(start, ONE, [192, 0, 2, 15].into());
        let hosts: Vec<IpAddr> = neighbours.hosts_on(ONE).collect();
        let wanted = [15, 19, 18, 17, 16, 14, 13, 12].map(|host| IpAddr::from([192, 0, 2, host]));
        assert_eq!(hosts, wanted, "the most recently heard first");
    }

    #[test]
    fn forged_hosts_on_one_interface_displace_none_on_another() {
        let start = crate::testing::start();
        let mut neighbours = Neighbours::default();
        neighbours.note_host(start, TWO, [198, 51, 100, 1].into());
        for host in 0..20 {
            neighbours.note_host(start, ONE, [192, 0, 2, host].into());
        }
        assert!(neighbours.knows_host_on(TWO));
        assert_eq!(neighbours.hosts_on(ONE).count(), MAX_HOSTS);
    }

    #[test]
    fn host_that_does_not_answer_is_forgotten_unless_this_node_is_isolated() {
        let start = crate::testing::start();
        let (asleep, awake): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        for is_isolated in [false, true] {
            let mut neighbours = Neighbours::default();
            neighbours.note_host(start, ONE, asleep);
            let mut asked = Vec::new();
            for seconds in (0..=90).step_by(10) {
                let now = start + Duration::from_secs(seconds);
                neighbours.note_host(now, ONE, awake);
                asked.extend(neighbours.refresh_hosts(now, |_| is_isolated));
            }
            let hosts: Vec<IpAddr> = neighbours.hosts_on(ONE).collect();
            if is_isolated {
                assert_eq!((asked, hosts), (vec![], vec![awake, asleep]));
            } else {
                assert_eq!((asked, hosts), (vec![(ONE, asleep); 3], vec![awake]));
            }
        }
    }

    #[test]
    fn interface_is_deaf_only_where_broadcasts_are_expected() {
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
