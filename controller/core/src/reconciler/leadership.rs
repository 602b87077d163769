//! Starts and stops the allocation of addresses with leadership.

use super::{Reconciler, WorkQueue, watch_kind::WatchKind};
use crate::{alloc::Allocator, plan::adopt, service_view::ServiceView};

impl Reconciler {
    /// Forgets all Services, because a new list of them is about to arrive.
    pub fn begin_relist(&mut self) {
        self.services.clear();
        self.synced.remove(WatchKind::Service);
    }

    /// Makes this replica the leader or a standby. A new leader must start from Services that were
    /// listed after it became leader: see [`Self::begin_relist`].
    pub fn set_leader(&mut self, is_leader: bool) {
        self.is_leader = is_leader;
        if is_leader {
            self.adopt_all();
        } else {
            self.has_adopted = false;
            self.allocator = Allocator::default();
            self.work = WorkQueue::default();
            self.problems.clear();
            self.retained.clear();
        }
    }

    /// Records every address in use, the oldest Service first, before the first one is allocated.
    pub(super) fn adopt_all(&mut self) {
        if self.has_adopted || !self.is_leader || !self.is_synced() {
            return;
        }
        let mut services: Vec<&ServiceView> = self.services.values().filter(|it| it.is_load_balancer).collect();
        services.sort_by(|a, b| (a.created, &a.key).cmp(&(b.created, &b.key)));
        let mut adopted = 0_usize;
        for service in &services {
            if let Some(assignment) = adopt(service, self.configuration.config(), &self.allocator) {
                self.allocator.apply(&service.key, &assignment);
                adopted += usize::from(service.is_ours);
            }
        }
        tracing::info!(services = services.len(), adopted, "adopted all addresses in use");
        self.has_adopted = true;
        self.configuration.mark_statuses_outdated();
        self.enqueue_where(|_| true);
    }
}
