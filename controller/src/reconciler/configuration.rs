//! Pools and advertisements: told as objects, kept as the configuration in force.

use kube::ResourceExt;
use lodestone_crds::{
    Config, IPAddressPool, L2Advertisement, Refusal, Resources,
    config::{ObjectKind, RefusalReason},
};
use lodestone_daemon::watch::Change;

use super::{Reconciler, WATCHES};

impl Reconciler {
    /// Takes in a change of an IPAddressPool.
    pub fn pool(&mut self, change: Change<IPAddressPool>) {
        let kind = ObjectKind::IPAddressPool;
        match change {
            Change::Applied(mut pool) => {
                pool.metadata.managed_fields = None;
                self.undecodable.remove(&(kind, pool.name_any()));
                self.pools.insert(pool.name_any(), pool);
            }
            Change::Gone(key) => {
                self.pools.remove(&key.name);
                self.undecodable.remove(&(kind, key.name));
            }
            Change::Undecodable(key, error) => {
                self.pools.remove(&key.name);
                self.undecodable(kind, key.name, error);
            }
            Change::Synced => return self.synced(WATCHES[2]),
        }
        self.rebuild();
    }

    /// Takes in a change of an L2Advertisement. The controller announces nothing, but it is the one that tells what is wrong.
    pub fn l2_advertisement(&mut self, change: Change<L2Advertisement>) {
        let kind = ObjectKind::L2Advertisement;
        match change {
            Change::Applied(mut advertisement) => {
                advertisement.metadata.managed_fields = None;
                self.undecodable.remove(&(kind, advertisement.name_any()));
                self.l2_advertisements.insert(advertisement.name_any(), advertisement);
            }
            Change::Gone(key) => {
                self.l2_advertisements.remove(&key.name);
                self.undecodable.remove(&(kind, key.name));
            }
            Change::Undecodable(key, error) => {
                self.l2_advertisements.remove(&key.name);
                self.undecodable(kind, key.name, error);
            }
            Change::Synced => return self.synced(WATCHES[3]),
        }
        self.rebuild();
    }

    fn undecodable(&mut self, kind: ObjectKind, name: String, message: String) {
        let reason = RefusalReason::Invalid;
        let refusal = Refusal {
            kind,
            name: name.clone(),
            reason,
            field: String::new(),
            message,
        };
        self.undecodable.insert((kind, name), refusal);
    }

    pub(super) fn rebuild(&mut self) {
        if !self.synced.contains(WATCHES[2]) || !self.synced.contains(WATCHES[3]) {
            return;
        }
        let config = Config::build(&self.resources());
        self.objects_changed = true;
        if config == self.config {
            return;
        }
        for refusal in config
            .refused
            .iter()
            .filter(|refusal| !self.config.refused.contains(refusal))
        {
            tracing::warn!("{refusal}");
        }
        if config.pools != self.config.pools {
            tracing::info!(
                pools = config.pools.len(),
                refused = config.refused.len(),
                "the configuration has changed"
            );
            self.enqueue_all(|_| true);
        }
        self.config = config;
        // Whoever is mended and refused again is told of again.
        let refused = &self.config.refused;
        self.told.retain(|(kind, name), _| {
            refused
                .iter()
                .any(|refusal| refusal.kind == *kind && refusal.name == *name)
        });
    }

    /// The objects as they were read.
    pub(super) fn resources(&self) -> Resources {
        Resources {
            pools: self.pools.values().cloned().collect(),
            l2_advertisements: self.l2_advertisements.values().cloned().collect(),
            undecodable: self.undecodable.values().cloned().collect(),
        }
    }
}
