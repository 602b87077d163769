//! The controller's metrics. Those about addresses have the names that MetalLB uses, and are counted from what is held at the moment that
//! they are asked for: they can't drift.

use std::{collections::HashMap, time::Instant};

use lodestone_crds::Family as AddressFamily;
use lodestone_daemon::ObjectKey;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{reconciler::Reconciler, service_view::ServiceView};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPool {
    pool: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: String,
}

type PerPool = Family<OfPool, Gauge>;

/// The controller's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    total: PerPool,
    total_v4: PerPool,
    total_v6: PerPool,
    in_use: PerPool,
    in_use_v4: PerPool,
    in_use_v6: PerPool,
    services: PerPool,
    retained: PerPool,
    refused: Family<OfKind, Gauge>,
    updates: Counter,
    update_errors: Counter,
    config_loaded: Gauge,
    config_stale: Gauge,
    waiting: Gauge,
    queue: Gauge,
    leader: Gauge,
    latency: Histogram,
    /// Since when this process knows of a Service that has no address.
    since: HashMap<ObjectKey, Instant>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let mut gauge = |name: &str, help: &str| {
            let metric = PerPool::default();
            registry.register(name, help, metric.clone());
            metric
        };
        let of = |what: &str| format!("metallb_allocator_{what}");
        let total = gauge(&of("addresses_total"), "Addresses that the pool can give out");
        let total_v4 = gauge(&of("ipv4_addresses_total"), "IPv4 addresses that the pool can give out");
        let total_v6 = gauge(&of("ipv6_addresses_total"), "IPv6 addresses that the pool can give out");
        let in_use = gauge(
            &of("addresses_in_use_total"),
            "Addresses of the pool in use; a shared one counts once",
        );
        let in_use_v4 = gauge(&of("ipv4_addresses_in_use_total"), "IPv4 addresses of the pool in use");
        let in_use_v6 = gauge(&of("ipv6_addresses_in_use_total"), "IPv6 addresses of the pool in use");
        let services = gauge(
            &of("services_allocated_total"),
            "Services that have an address of the pool",
        );
        let retained = gauge(
            "lodestone_allocator_retained_services",
            "Services that keep an address that their pool would not give them today",
        );
        let refused = Family::default();
        registry.register(
            "lodestone_config_refused_objects",
            "Objects of configuration that are not in use because something is wrong with them",
            refused.clone(),
        );
        let (updates, update_errors) = (Counter::default(), Counter::default());
        // The text format adds `_total` to counters.
        registry.register(
            "metallb_k8s_client_updates",
            "Changes that the API server told",
            updates.clone(),
        );
        let help = "Statuses that could not be written at the first try";
        registry.register("metallb_k8s_client_update_errors", help, update_errors.clone());
        let mut gauge = |name: &str, help: &str| {
            let metric = Gauge::default();
            registry.register(name, help, metric.clone());
            metric
        };
        let config_loaded = gauge(
            "metallb_k8s_client_config_loaded_bool",
            "1: the configuration has been read",
        );
        let config_stale = gauge(
            "metallb_k8s_client_config_stale_bool",
            "1: an object of configuration is not in use because something is wrong with it",
        );
        let waiting = gauge(
            "lodestone_allocator_services_with_problem",
            "Services that do not have what they ask for",
        );
        let queue = gauge("lodestone_queue_length", "Services that wait to be looked at");
        let leader = gauge("lodestone_leader_bool", "1: this replica gives out addresses");
        let latency = Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        registry.register(
            "lodestone_allocation_duration_seconds",
            "From the moment that the controller knows of a Service without an address until one is written into its status",
            latency.clone(),
        );
        Self {
            registry,
            total,
            total_v4,
            total_v6,
            in_use,
            in_use_v4,
            in_use_v6,
            services,
            retained,
            refused,
            updates,
            update_errors,
            config_loaded,
            config_stale,
            waiting,
            queue,
            leader,
            latency,
            since: HashMap::new(),
        }
    }
}

impl Metrics {
    /// The API server told of a change.
    pub fn told(&self) {
        self.updates.inc();
    }

    /// The API server told of a Service.
    pub fn service(&mut self, service: &ServiceView, now: Instant) {
        if service.served && service.ingress.is_empty() {
            self.since.entry(service.key.clone()).or_insert(now);
        } else {
            self.since.remove(&service.key);
        }
    }

    /// A Service is gone.
    pub fn gone(&mut self, key: &ObjectKey) {
        self.since.remove(key);
    }

    /// A status has been written.
    pub fn written(&mut self, service: &ServiceView, now: Instant) {
        if !service.ingress.is_empty()
            && let Some(since) = self.since.remove(&service.key)
        {
            self.latency.observe(now.saturating_duration_since(since).as_secs_f64());
        }
    }

    /// A status could not be written.
    pub fn failed(&self) {
        self.update_errors.inc();
    }

    /// All of it in the text format of OpenMetrics.
    #[must_use]
    pub fn text(&self, core: &Reconciler) -> String {
        self.read(core);
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn read(&self, core: &Reconciler) {
        // What belongs to a pool that is gone goes with it.
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
        // A replica that stands by has nothing to say of them: whoever adds up all replicas counts each address once.
        for pool in core.config().pools.values().filter(|_| core.works()) {
            let set = |metric: &PerPool, value: u128| {
                let label = OfPool {
                    pool: pool.name.clone(),
                };
                metric
                    .get_or_create(&label)
                    .set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            let total = |family| pool.capacity(family);
            let used = |family| u128::from(core.allocator().in_use_of(pool, family));
            let (v4, v6) = (AddressFamily::V4, AddressFamily::V6);
            set(&self.total, total(v4).saturating_add(total(v6)));
            set(&self.total_v4, total(v4));
            set(&self.total_v6, total(v6));
            set(&self.in_use, used(v4) + used(v6));
            set(&self.in_use_v4, used(v4));
            set(&self.in_use_v6, used(v6));
            set(&self.services, 0);
        }
        let add = |metric: &PerPool, pool: &str| {
            metric.get_or_create(&OfPool { pool: pool.to_owned() }).inc();
        };
        core.pools_of_services().for_each(|pool| add(&self.services, pool));
        core.retained().values().for_each(|pool| add(&self.retained, pool));
        self.refused.clear();
        for refusal in &core.config().refused {
            let kind = refusal.kind.to_string();
            self.refused.get_or_create(&OfKind { kind }).inc();
        }
        let set = |metric: &Gauge, value: usize| {
            metric.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.config_loaded, usize::from(core.is_configured()));
        set(&self.config_stale, usize::from(!core.config().refused.is_empty()));
        set(&self.waiting, core.problems().len());
        set(&self.queue, core.queue_length());
        set(&self.leader, usize::from(core.works()));
    }
}

#[cfg(test)]
mod tests;
