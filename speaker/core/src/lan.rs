//! The LAN: answers to ARP and NDP, announcements nobody asked for, and conflict detection.
//!
//! The life of an address on the LAN of its owner:
//! ```text
//!               first time in the cluster        no conflict
//!   unowned ─────────────────────────► tentative ───────────► announced ──► handed over, or released
//!      │                                   ▲  │ a foreign host has it (asked again every 10 s),
//!      │                                   └──┘ or probes for it (once, for 5 s)
//!      └── takeover: no conflict detection ──────────────────► announced
//! ```
//! A second protocol to announce addresses, such as BGP, will be a part beside this one. It would
//! be given the same decisions by [`Speaker`](crate::Speaker).

mod announcer;
pub(crate) mod conflict_detection;
mod conflict_reports;
pub(crate) mod gratuitous;
pub(crate) mod heard_macs;
pub(crate) mod neighbours;
mod responder;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    time::Instant,
};

use conflict_detection::ConflictDetector;
use conflict_reports::ConflictReports;
use gratuitous::GratuitousSchedule;
use heard_macs::HeardMacs;
use neighbours::Neighbours;

use crate::{
    context::Turn,
    event::Event,
    node::interface::InterfacePort,
    output::OwnedAddress,
    settings::Settings,
    stats::increment,
    timers::Timer,
    types::{InterfaceIndex, MacAddr, NodeName},
    wire::message::Message,
};

/// The maximum number of addresses in one [`Message::DeputyFor`].
const ADDRESSES_PER_MESSAGE: usize = 64;

/// A frame that says that a host uses an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddressUse {
    pub(crate) interface: InterfaceIndex,
    /// The Ethernet source of the frame.
    pub(crate) source: MacAddr,
    /// The address, and the MAC that it is said to be at.
    pub(crate) address: IpAddr,
    pub(crate) mac: MacAddr,
}

/// What follows from a frame.
#[derive(Debug, Default)]
pub(crate) struct FrameOutcome {
    /// A reply for the interface that the frame came from.
    pub(crate) reply: Option<Vec<u8>>,
    /// A node of the cluster that uses an address with its own MAC.
    pub(crate) peer_use: Option<(NodeName, AddressUse)>,
    /// A node of the cluster that probes for an address.
    pub(crate) peer_probe: Option<(NodeName, IpAddr)>,
    /// Whether a MAC of the cluster was heard on the interface for the first time.
    pub(crate) is_new_mac: bool,
}

/// How an owned address is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) owned: OwnedAddress,
    pub(crate) ports: Vec<InterfacePort>,
}

/// How a deputy answers for the address of an owner: on each port with the MAC of the owner there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeputyDuty {
    pub(crate) owner: NodeName,
    pub(crate) ports: Vec<(InterfacePort, MacAddr)>,
}

/// What this node does on the LAN.
#[derive(Clone, Debug)]
pub(crate) struct Lan {
    owned: BTreeMap<IpAddr, Announcement>,
    duties: BTreeMap<IpAddr, DeputyDuty>,
    /// The solicited-node groups of both.
    groups: BTreeSet<(InterfaceIndex, Ipv6Addr)>,
    schedule: GratuitousSchedule,
    conflicts: ConflictDetector,
    conflict_reports: ConflictReports,
    neighbours: Neighbours,
    heard_macs: HeardMacs,
    own_macs: BTreeSet<MacAddr>,
    peer_macs: BTreeMap<MacAddr, NodeName>,
    /// The announced addresses, as last reported.
    reported: Option<Vec<OwnedAddress>>,
}

impl Lan {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            owned: BTreeMap::new(),
            duties: BTreeMap::new(),
            groups: BTreeSet::new(),
            schedule: GratuitousSchedule::new(settings.announce_interval),
            conflicts: ConflictDetector::new(settings.conflict_detection),
            conflict_reports: ConflictReports::default(),
            neighbours: Neighbours::default(),
            heard_macs: HeardMacs::default(),
            own_macs: BTreeSet::new(),
            peer_macs: BTreeMap::new(),
            reported: None,
        }
    }

    pub(crate) const fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    pub(crate) const fn heard_macs(&self) -> &HeardMacs {
        &self.heard_macs
    }

    /// Records that a frame of a MAC arrived on an interface. Returns whether that is news of a MAC
    /// of the cluster.
    pub(crate) fn note_mac(&mut self, now: Instant, interface: InterfaceIndex, mac: MacAddr) -> bool {
        self.is_of_cluster(mac) && self.heard_macs.note(now, interface, mac)
    }

    /// Records that the owner of an address uses it. Returns whether its MAC is news.
    pub(crate) fn note_owner(&mut self, seen: &AddressUse) -> bool {
        self.heard_macs.note_owner(seen.interface, seen.address, seen.mac)
    }

    /// Forgets the owners of addresses that are not used.
    pub(crate) fn retain_owners(&mut self, is_used: impl Fn(IpAddr) -> bool) {
        self.heard_macs.retain_owners(is_used);
    }

    #[cfg(test)]
    pub(crate) const fn neighbours_mut(&mut self) -> &mut Neighbours {
        &mut self.neighbours
    }

    /// The foreign hosts to ask whether they are still there.
    pub(crate) fn refresh_hosts(
        &mut self,
        now: Instant,
        isolated: &BTreeSet<InterfaceIndex>,
    ) -> Vec<(InterfaceIndex, IpAddr)> {
        self.neighbours
            .refresh_hosts(now, |interface| isolated.contains(&interface))
    }

    /// Replaces the set of interfaces on which peers send broadcasts.
    pub(crate) fn expect_broadcasts(&mut self, now: Instant, interfaces: &BTreeSet<InterfaceIndex>) {
        self.neighbours.expect_broadcasts(now, interfaces);
    }

    pub(crate) const fn conflicts(&self) -> &ConflictDetector {
        &self.conflicts
    }

    /// The addresses that this node owns, tentative ones included.
    pub(crate) const fn owned(&self) -> &BTreeMap<IpAddr, Announcement> {
        &self.owned
    }

    /// The addresses that this node answers for as a deputy.
    pub(crate) const fn duties(&self) -> &BTreeMap<IpAddr, DeputyDuty> {
        &self.duties
    }

    /// Whether this node answers for an address that it owns.
    pub(crate) fn announces(&self, address: IpAddr) -> bool {
        self.owned.contains_key(&address) && self.conflicts.is_clear(address)
    }

    /// The addresses that this node announces.
    pub(crate) fn announced(&self) -> impl Iterator<Item = &OwnedAddress> {
        let owned = self.owned.values().map(|announcement| &announcement.owned);
        owned.filter(|owned| self.conflicts.is_clear(owned.address))
    }

    /// Replaces the MACs of this node's own interfaces. `is_up` tells which of them have a carrier:
    /// a cable that was pulled may end on another segment.
    pub(crate) fn set_own_macs(&mut self, macs: BTreeSet<MacAddr>, is_up: impl Fn(InterfaceIndex) -> bool) {
        self.own_macs = macs;
        self.groups.clear();
        self.heard_macs.retain(|interface, _| is_up(interface));
    }

    /// Replaces the MACs of all peers. A supposed foreign host may turn out to be one of them: its
    /// addresses are probed again.
    pub(crate) fn set_peer_macs(&mut self, turn: &mut Turn<'_>, macs: BTreeMap<MacAddr, NodeName>) {
        self.peer_macs = macs;
        let (own, peers) = (&self.own_macs, &self.peer_macs);
        self.heard_macs
            .retain(|_, mac| own.contains(&mac) || peers.contains_key(&mac));
        let mistaken: Vec<IpAddr> = self
            .conflicts
            .other_users()
            .filter(|(_, mac)| self.is_of_cluster(*mac))
            .map(|(address, _)| address)
            .collect();
        for address in mistaken {
            self.conflicts.start_probing(turn.now, address);
        }
        self.arm(turn);
    }

    /// Whether a MAC is this node's or a peer's.
    fn is_of_cluster(&self, mac: MacAddr) -> bool {
        self.own_macs.contains(&mac) || self.peer_macs.contains_key(&mac)
    }

    /// Switches to these deputy duties. Returns the former and new owners to notify.
    /// [`Self::set_owned`] joins the groups of the addresses: call it next.
    pub(crate) fn set_duties(
        &mut self,
        turn: &mut Turn<'_>,
        wanted: BTreeMap<IpAddr, DeputyDuty>,
    ) -> BTreeSet<NodeName> {
        if wanted == self.duties {
            return BTreeSet::new();
        }
        let (before, after) = (count_by_owner(&self.duties), count_by_owner(&wanted));
        for _ in wanted.keys().filter(|address| !self.duties.contains_key(address)) {
            increment(&mut turn.stats.deputy_activations);
        }
        self.duties = wanted;
        let owners: BTreeSet<NodeName> = before.keys().chain(after.keys()).cloned().collect();
        for owner in &owners {
            let addresses = after.get(owner).copied().unwrap_or_default();
            if before.get(owner).copied().unwrap_or_default() != addresses {
                let owner = owner.clone();
                let deputy = turn.context.me.clone();
                turn.outbox.push_event(Event::DeputyChanged {
                    deputy,
                    owner,
                    addresses,
                });
            }
        }
        owners
    }

    /// Tells an owner which of its addresses this node answers for.
    pub(crate) fn confirm_duties(&self, turn: &mut Turn<'_>, owner: &NodeName) {
        let mine = self.duties.iter().filter(|(_, duty)| duty.owner == *owner);
        let addresses: Vec<IpAddr> = mine.map(|(address, _)| *address).collect();
        for chunk in addresses.chunks(ADDRESSES_PER_MESSAGE) {
            turn.outbox.send(owner, Message::DeputyFor(chunk.to_vec()));
        }
    }

    /// Arms the timers of this part, after each change of what they depend on.
    fn arm(&self, turn: &mut Turn<'_>) {
        turn.timers.set(Timer::Gratuitous, self.schedule.next_timeout());
        turn.timers.set(Timer::ConflictDetection, self.conflicts.next_timeout());
    }
}

fn count_by_owner(duties: &BTreeMap<IpAddr, DeputyDuty>) -> BTreeMap<NodeName, usize> {
    let mut counts: BTreeMap<NodeName, usize> = BTreeMap::new();
    for duty in duties.values() {
        *counts.entry(duty.owner.clone()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests;
