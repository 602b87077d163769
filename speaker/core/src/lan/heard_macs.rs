//! Which MACs of the cluster are heard on which interface. Nothing else proves that two interfaces
//! share a segment. Overlay devices and container bridges have one name and one prefix on every
//! node, and share nothing.

use std::{collections::BTreeMap, net::IpAddr, time::Instant};

use crate::types::{InterfaceIndex, MacAddr};

/// The MACs of peers, and of this node, that were the source of a frame on each interface.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeardMacs {
    /// The time is that of the last frame.
    heard: BTreeMap<(InterfaceIndex, MacAddr), Instant>,
    /// The MAC with which the owner of an address last answered or announced.
    of_owners: BTreeMap<(InterfaceIndex, IpAddr), MacAddr>,
}

impl HeardMacs {
    /// Records that a frame of a MAC arrived on an interface. Returns whether that is news.
    pub(super) fn note(&mut self, now: Instant, interface: InterfaceIndex, mac: MacAddr) -> bool {
        self.heard.insert((interface, mac), now).is_none()
    }

    /// Whether a frame of a MAC has arrived on an interface.
    pub(crate) fn contains(&self, interface: InterfaceIndex, mac: MacAddr) -> bool {
        self.heard.contains_key(&(interface, mac))
    }

    /// When a frame of a MAC last arrived on an interface.
    pub(crate) fn last_frame(&self, interface: InterfaceIndex, mac: MacAddr) -> Option<Instant> {
        self.heard.get(&(interface, mac)).copied()
    }

    /// Records with which MAC the owner of an address answers or announces. Returns whether that is
    /// news.
    pub(super) fn note_owner(&mut self, interface: InterfaceIndex, address: IpAddr, mac: MacAddr) -> bool {
        self.of_owners.insert((interface, address), mac) != Some(mac)
    }

    /// The MAC with which the owner of an address last answered or announced.
    pub(crate) fn of_owner(&self, interface: InterfaceIndex, address: IpAddr) -> Option<MacAddr> {
        self.of_owners.get(&(interface, address)).copied()
    }

    /// Forgets the owners of addresses that are not used.
    pub(super) fn retain_owners(&mut self, is_used: impl Fn(IpAddr) -> bool) {
        self.of_owners.retain(|(_, address), _| is_used(*address));
    }

    /// Forgets what does not meet the condition.
    pub(super) fn retain(&mut self, keep: impl Fn(InterfaceIndex, MacAddr) -> bool) {
        self.heard.retain(|(interface, mac), _| keep(*interface, *mac));
    }
}
