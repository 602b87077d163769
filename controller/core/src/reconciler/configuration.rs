//! Handles changes of configuration objects, and plans Services again where that matters.

use lodestone_crds::{ConfigurationState, IPAddressPool, L2Advertisement, ResourceChange};

use super::{Reconciler, watch_kind::WatchKind};
use crate::notice::ObjectNotice;

impl Reconciler {
    /// Handles a change of an IPAddressPool.
    pub fn handle_pool(&mut self, change: ResourceChange<IPAddressPool>) {
        if change == ResourceChange::Synced {
            return self.set_synced(WatchKind::IPAddressPool);
        }
        self.configuration.store_pool(change);
        self.rebuild_config();
    }

    /// Handles a change of an L2Advertisement. The controller announces nothing, but it reports
    /// what is wrong with advertisements.
    pub fn handle_l2_advertisement(&mut self, change: ResourceChange<L2Advertisement>) {
        if change == ResourceChange::Synced {
            return self.set_synced(WatchKind::L2Advertisement);
        }
        self.configuration.store_l2_advertisement(change);
        self.rebuild_config();
    }

    /// Handles a change of the controller's own ConfigurationState.
    pub fn handle_configuration_state(&mut self, change: ResourceChange<ConfigurationState>) {
        self.configuration.store_configuration_state(change);
    }

    /// Returns whether the status of a configuration object may be out of date, and resets that.
    pub const fn poll_statuses_outdated(&mut self) -> bool {
        self.has_adopted && self.configuration.take_statuses_outdated()
    }

    /// Records an event about a configuration object. Returns whether it differs from the last one.
    /// While the watch lags behind, the same status may be written more than once.
    pub fn note_if_new(&mut self, event: &ObjectNotice) -> bool {
        self.configuration.note_if_new(event)
    }

    /// Brings the stored objects into force once the lists of pools and advertisements are
    /// complete.
    pub(super) fn rebuild_config(&mut self) {
        if self.synced.has_configuration() && self.configuration.rebuild() {
            self.enqueue_where(|_| true);
        }
    }
}
