//! The controller's metrics. Those about addresses have MetalLB's names. They are computed from the
//! reconciler's state at each scrape, so they cannot drift.

mod pools;

use std::{collections::HashMap, time::Instant};

use lodestone_controller_core::{Reconciler, ServiceView};
use lodestone_crds::ObjectKey;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use pools::PoolGauges;

/// The upper bounds of the latency histogram, in seconds.
const LATENCY_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

/// The controller's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pools: PoolGauges,
    refused: Family<KindLabel, Gauge>,
    updates: Counter,
    update_errors: Counter,
    config_loaded: Gauge,
    config_stale: Gauge,
    waiting: Gauge,
    queue: Gauge,
    leader: Gauge,
    latency: Histogram,
    /// The Services without an address, and since when this process knows of them.
    waiting_since: HashMap<ObjectKey, Instant>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let pools = PoolGauges::register(&mut registry);
        let (refused, latency) = (Family::default(), Histogram::new(LATENCY_BUCKETS));
        registry.register(
            "lodestone_config_refused_objects",
            "Configuration objects that are not in use because they are not valid",
            refused.clone(),
        );
        registry.register(
            "lodestone_allocation_duration_seconds",
            "Time from when the controller learns of a Service without an address until its status has one",
            latency.clone(),
        );
        // The text format appends `_total` to counters.
        let mut counter = |name: &str, help: &str| {
            let metric = Counter::default();
            registry.register(name, help, metric.clone());
            metric
        };
        let updates = counter("metallb_k8s_client_updates", "Changes received from the API server");
        let update_errors = counter(
            "metallb_k8s_client_update_errors",
            "Writes of a Service's status that failed",
        );
        let mut gauge = |name: &str, help: &str| {
            let metric = Gauge::default();
            registry.register(name, help, metric.clone());
            metric
        };
        Self {
            pools,
            refused,
            updates,
            update_errors,
            config_loaded: gauge(
                "metallb_k8s_client_config_loaded_bool",
                "1: the configuration has been read",
            ),
            config_stale: gauge(
                "metallb_k8s_client_config_stale_bool",
                "1: a configuration object is not in use because it is not valid",
            ),
            waiting: gauge(
                "lodestone_allocator_services_with_problem",
                "Services that do not have what they ask for",
            ),
            queue: gauge("lodestone_queue_length", "Services that wait to be planned"),
            leader: gauge("lodestone_leader_bool", "1: this replica allocates addresses"),
            latency,
            waiting_since: HashMap::new(),
            registry,
        }
    }
}

impl Metrics {
    /// Counts a change that a watch reported.
    pub(crate) fn count_update(&self) {
        self.updates.inc();
    }

    /// Starts the latency clock of a Service without an address.
    pub(crate) fn observe_service(&mut self, service: &ServiceView, now: Instant) {
        if service.is_ours && service.ingress.is_empty() {
            self.waiting_since.entry(service.key.clone()).or_insert(now);
        } else {
            self.waiting_since.remove(&service.key);
        }
    }

    /// Forgets a deleted Service.
    pub(crate) fn forget_service(&mut self, key: &ObjectKey) {
        self.waiting_since.remove(key);
    }

    /// Stops the latency clock of a Service whose status was written.
    pub(crate) fn observe_write(&mut self, service: &ServiceView, now: Instant) {
        if !service.ingress.is_empty()
            && let Some(since) = self.waiting_since.remove(&service.key)
        {
            self.latency.observe(now.saturating_duration_since(since).as_secs_f64());
        }
    }

    /// Counts a failed write of a Service's status.
    pub(crate) fn count_write_failure(&self) {
        self.update_errors.inc();
    }

    /// All metrics in the text format of OpenMetrics.
    pub(crate) fn encode(&self, reconciler: &Reconciler) -> String {
        self.refresh(reconciler);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Sets every gauge from the reconciler's state.
    fn refresh(&self, reconciler: &Reconciler) {
        self.pools.refresh(reconciler);
        let refused = &reconciler.config().refused;
        self.refused.clear();
        for refusal in refused {
            let kind = refusal.kind.to_string();
            self.refused.get_or_create(&KindLabel { kind }).inc();
        }
        let set = |metric: &Gauge, value: usize| {
            metric.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.config_loaded, usize::from(reconciler.is_configured()));
        set(&self.config_stale, usize::from(!refused.is_empty()));
        set(&self.waiting, reconciler.problems().len());
        set(&self.queue, reconciler.queue_length());
        set(&self.leader, usize::from(reconciler.is_allocating()));
    }
}

#[cfg(test)]
mod tests;
