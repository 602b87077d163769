//! Announces the owned addresses: conflict detection, gratuitous ARP and unsolicited NA, and the
//! groups that requests come to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use super::{Announcement, Lan};
use crate::{
    context::Turn,
    output::{Output, OwnedAddress},
    stats::increment,
    wire::{arp, ndp},
};

impl Lan {
    /// Ends the gratuitous announcements and conflict detection of owned addresses that are not in
    /// `wanted`, and returns them. Call [`Self::set_owned`] next: until then this node still
    /// answers.
    pub(crate) fn withdraw_except(
        &mut self,
        turn: &mut Turn<'_>,
        wanted: &BTreeMap<IpAddr, Announcement>,
    ) -> Vec<IpAddr> {
        let lost: Vec<IpAddr> = self
            .owned
            .keys()
            .filter(|address| !wanted.contains_key(address))
            .copied()
            .collect();
        for address in &lost {
            self.schedule.stop(*address);
            self.conflicts.forget(*address);
        }
        self.arm(turn);
        lost
    }

    /// Switches to owning these addresses. `tentative` ones are probed before they are announced.
    pub(crate) fn set_owned(
        &mut self,
        turn: &mut Turn<'_>,
        wanted: BTreeMap<IpAddr, Announcement>,
        tentative: impl IntoIterator<Item = IpAddr>,
    ) {
        for address in tentative {
            self.conflicts.start_probing(turn.now, address);
        }
        // A new owner, a new interface or a new MAC: neighbours have to learn it.
        let changed = |(address, announcement): &(&IpAddr, &Announcement)| {
            self.owned
                .get(address)
                .is_none_or(|before| before.ports != announcement.ports)
        };
        let begun: Vec<IpAddr> = wanted.iter().filter(changed).map(|(address, _)| *address).collect();
        self.owned = wanted;
        self.join_groups(turn);
        for address in begun.into_iter().filter(|address| self.conflicts.is_clear(*address)) {
            self.schedule.start(turn.now, address);
        }
        self.arm(turn);
    }

    /// Announces an address in a new burst, unless it is tentative.
    pub(crate) fn restart_announcements(&mut self, turn: &mut Turn<'_>, address: IpAddr) {
        if self.announces(address) {
            self.schedule.start(turn.now, address);
            self.arm(turn);
        }
    }

    /// Hosts ask for an IPv6 address by its solicited-node group (RFC 4861, section 7.2.2).
    pub(super) fn join_groups(&mut self, turn: &mut Turn<'_>) {
        let owned = self
            .owned
            .iter()
            .map(|(address, announcement)| (address, announcement.ports.clone()));
        let duties = self.duties.iter().map(|(address, duty)| {
            let ports = duty.ports.iter().map(|(port, _)| *port);
            (address, ports.collect())
        });
        let mut groups = BTreeSet::new();
        for (address, ports) in owned.chain(duties) {
            if let IpAddr::V6(v6) = address {
                groups.extend(ports.iter().map(|port| (port.index, ndp::solicited_node(*v6))));
            }
        }
        if groups != self.groups {
            self.groups.clone_from(&groups);
            // Before the announcements: a host that hears one may ask at once.
            turn.outbox.push(Output::Groups(groups));
        }
    }

    /// Sends the probes that are due. Returns the addresses that conflict detection has cleared.
    pub(crate) fn run_conflict_detection(&mut self, turn: &mut Turn<'_>) -> Vec<IpAddr> {
        if self.conflicts.next_timeout().is_none_or(|next| next > turn.now) {
            return Vec::new();
        }
        let round = self.conflicts.poll_due(turn.now);
        for address in round.probe {
            let Some(announcement) = self.owned.get(&address) else {
                self.conflicts.forget(address);
                continue;
            };
            probe(turn, address, announcement);
        }
        let mut cleared = round.clear;
        cleared.retain(|address| self.owned.contains_key(address));
        for address in &cleared {
            self.schedule.start(turn.now, *address);
            turn.request_review();
        }
        self.arm(turn);
        cleared
    }

    /// Asks who else answers for these owned addresses.
    pub(crate) fn probe_contested(&self, turn: &mut Turn<'_>, addresses: &[IpAddr]) {
        for address in addresses {
            if let Some(announcement) = self.owned.get(address) {
                probe(turn, *address, announcement);
            }
        }
    }

    /// Sends the gratuitous announcements that are due.
    pub(crate) fn send_due_announcements(&mut self, turn: &mut Turn<'_>) {
        for address in self.schedule.poll_due(turn.now) {
            self.announce(turn, address);
        }
        self.arm(turn);
    }

    /// Sends one gratuitous announcement of an address, unless it is tentative.
    pub(crate) fn announce(&self, turn: &mut Turn<'_>, address: IpAddr) {
        if !self.conflicts.is_clear(address) {
            return;
        }
        let Some(announcement) = self.owned.get(&address) else {
            return;
        };
        for port in &announcement.ports {
            let frames: Vec<Vec<u8>> = match address {
                IpAddr::V4(v4) => arp::gratuitous(port.mac, v4).map(Vec::from).into(),
                IpAddr::V6(v6) => vec![ndp::unsolicited_advertisement(port.mac, port.link_local, v6).into()],
            };
            for frame in frames {
                increment(&mut turn.stats.traffic.entry(address).or_default().gratuitous);
                turn.outbox.push_frame(port.index, frame);
            }
        }
    }

    /// Reports the announced addresses, if they have changed.
    pub(crate) fn report_announced(&mut self, turn: &mut Turn<'_>) {
        let announced: Vec<OwnedAddress> = self.announced().cloned().collect();
        if self.reported.as_ref() != Some(&announced) {
            self.reported = Some(announced.clone());
            turn.outbox.push(Output::OwnedAddresses(announced));
        }
    }
}

fn probe(turn: &mut Turn<'_>, address: IpAddr, announcement: &Announcement) {
    for port in &announcement.ports {
        let frame = match address {
            IpAddr::V4(v4) => arp::request(port.mac, Ipv4Addr::UNSPECIFIED, v4).into(),
            IpAddr::V6(v6) => ndp::solicitation(port.mac, None, v6),
        };
        turn.outbox.push_frame(port.index, frame);
    }
}
