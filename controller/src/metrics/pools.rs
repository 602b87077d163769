//! The gauges of each pool.

use lodestone_controller_core::Reconciler;
use lodestone_crds::{Family as AddressFamily, config::Pool};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabel {
    pool: String,
}

type PoolGauge = Family<PoolLabel, Gauge>;

#[derive(Debug)]
pub(super) struct PoolGauges {
    total: PoolGauge,
    total_v4: PoolGauge,
    total_v6: PoolGauge,
    in_use: PoolGauge,
    in_use_v4: PoolGauge,
    in_use_v6: PoolGauge,
    services: PoolGauge,
    retained: PoolGauge,
}

impl PoolGauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut gauge = |name: &str, help: &str| {
            let metric = PoolGauge::default();
            registry.register(name, help, metric.clone());
            metric
        };
        Self {
            total: gauge(
                "metallb_allocator_addresses_total",
                "Addresses that the pool can allocate",
            ),
            total_v4: gauge(
                "metallb_allocator_ipv4_addresses_total",
                "IPv4 addresses that the pool can allocate",
            ),
            total_v6: gauge(
                "metallb_allocator_ipv6_addresses_total",
                "IPv6 addresses that the pool can allocate",
            ),
            in_use: gauge(
                "metallb_allocator_addresses_in_use_total",
                "Addresses of the pool in use; a shared one counts once",
            ),
            in_use_v4: gauge(
                "metallb_allocator_ipv4_addresses_in_use_total",
                "IPv4 addresses of the pool in use",
            ),
            in_use_v6: gauge(
                "metallb_allocator_ipv6_addresses_in_use_total",
                "IPv6 addresses of the pool in use",
            ),
            services: gauge(
                "metallb_allocator_services_allocated_total",
                "Services that have an address of the pool",
            ),
            retained: gauge(
                "lodestone_allocator_retained_services",
                "Services that retain an address that their pool would not give them today",
            ),
        }
    }

    /// Sets every gauge from the reconciler's state. The series of a deleted pool disappear.
    pub(super) fn refresh(&self, reconciler: &Reconciler) {
        for family in [
            &self.total,
            &self.total_v4,
            &self.total_v6,
            &self.in_use,
            &self.in_use_v4,
            &self.in_use_v6,
            &self.services,
            &self.retained,
        ] {
            family.clear();
        }
        // Only the leader reports addresses, so that a sum over all replicas counts each one once.
        if reconciler.is_allocating() {
            let pools = reconciler.config().pools.values();
            pools.for_each(|pool| self.count_addresses(pool, reconciler));
        }
        let add = |metric: &PoolGauge, pool: &str| {
            metric.get_or_create(&PoolLabel { pool: pool.to_owned() }).inc();
        };
        reconciler
            .pools_of_services()
            .for_each(|pool| add(&self.services, pool));
        let retained = reconciler.retained().values();
        retained.for_each(|pool| add(&self.retained, pool));
    }

    fn count_addresses(&self, pool: &Pool, reconciler: &Reconciler) {
        let set = |metric: &PoolGauge, value: u128| {
            let label = PoolLabel {
                pool: pool.name.clone(),
            };
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            metric.get_or_create(&label).set(value);
        };
        let (v4, v6) = (AddressFamily::V4, AddressFamily::V6);
        let (total_v4, total_v6) = (pool.capacity(v4), pool.capacity(v6));
        let used = |family| u128::from(reconciler.allocator().in_use_of(pool, family));
        let (used_v4, used_v6) = (used(v4), used(v6));
        set(&self.total, total_v4.saturating_add(total_v6));
        set(&self.total_v4, total_v4);
        set(&self.total_v6, total_v6);
        set(&self.in_use, used_v4 + used_v6);
        set(&self.in_use_v4, used_v4);
        set(&self.in_use_v6, used_v6);
        set(&self.services, 0);
    }
}
