//! Which MACs of the cluster are heard on which interface. Nothing else proves that two interfaces
//! share a segment: overlay devices and container bridges have one name and one prefix on every
//! node, and share nothing.

use std::collections::BTreeSet;

use crate::types::{InterfaceIndex, MacAddr};

/// The MACs of peers, and of this node, that were the source of a frame on each interface.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeardMacs {
    heard: BTreeSet<(InterfaceIndex, MacAddr)>,
}

impl HeardMacs {
    /// Records that a frame of a MAC arrived on an interface. Returns whether that is news.
    pub(super) fn note(&mut self, interface: InterfaceIndex, mac: MacAddr) -> bool {
        self.heard.insert((interface, mac))
    }

    /// Whether a frame of a MAC has arrived on an interface.
    pub(crate) fn contains(&self, interface: InterfaceIndex, mac: MacAddr) -> bool {
        self.heard.contains(&(interface, mac))
    }

    /// Forgets what does not meet the condition.
    pub(super) fn retain(&mut self, keep: impl Fn(InterfaceIndex, MacAddr) -> bool) {
        self.heard.retain(|(interface, mac)| keep(*interface, *mac));
    }
}
