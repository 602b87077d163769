//! Another node of the cluster uses an address that this node owns.
//!
//! Claims settle who owns an address, as long as speakers hear each other. This is about the
//! others: the wire shows what their messages do not.

use std::time::Instant;

use super::{Speaker, turn, view};
use crate::{lan::AddressUse, types::NodeName};

impl Speaker {
    /// Handles that a peer uses an address with its own MAC.
    pub(super) fn handle_peer_use(&mut self, now: Instant, node: &NodeName, seen: &AddressUse) {
        let is_ours = self.lan.owned().contains_key(&seen.address)
            && self.ownership.claims().owner(seen.address) == Some(&self.context.me);
        if !is_ours || !self.lan.conflicts().is_on() {
            return;
        }
        let is_heard = view!(self, now).is_heard(node);
        if !is_heard {
            self.lan.hold_back(turn!(self, now), node, seen);
        }
    }
}
