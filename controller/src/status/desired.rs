//! The statuses that configuration objects must have.
//!
//! A pool's status says whether the pool is in use, how full it is, and which Services retain
//! addresses of it. An advertisement's says whether it is in use. The ConfigurationState
//! `controller` sums up what was refused.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt};
use lodestone_controller_core::{Known, Notice, ObjectNotice, Reconciler, alloc::Allocator};
use lodestone_crds::{
    ConfigurationStateStatus, Family, IPAddressPool, IPAddressPoolStatus, L2Advertisement, L2AdvertisementStatus,
    config::{ObjectKind, Pool},
};
use lodestone_runtime::k8s::{
    condition::{self, DesiredCondition},
    configuration_state::{self, configuration_condition},
};
use serde::Serialize;
use serde_json::Value;

/// The name of the controller's ConfigurationState.
pub(crate) const STATE_NAME: &str = "controller";

/// How many Services the message of a condition names.
const MAX_NAMED: usize = 10;

/// The condition of a pool that says whether Services retain addresses of it.
const RETAINED: &str = "Retained";

/// The object of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusTarget {
    /// A pool or an advertisement.
    Object(ObjectKind),
    /// The controller's ConfigurationState.
    State,
}

/// A status to write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StatusWrite {
    /// The kind of the object.
    pub(crate) target: StatusTarget,
    /// The name of the object.
    pub(crate) name: String,
    /// The whole status.
    pub(crate) status: Value,
    /// The event to send once the status is written.
    pub(crate) event: Option<ObjectNotice>,
}

/// The statuses that are not up to date.
pub(crate) fn outdated(reconciler: &Reconciler, now: Timestamp) -> Vec<StatusWrite> {
    let retained = retained_by_pool(reconciler);
    let pools = reconciler.pools().filter_map(|pool| {
        let services = retained.get(pool.name_any().as_str()).map_or(&[][..], Vec::as_slice);
        pool_status(reconciler, pool, services, now)
    });
    let advertisements = reconciler
        .l2_advertisements()
        .filter_map(|advertisement| advertisement_status(reconciler, advertisement, now));
    let state = state_status(reconciler, now).map(|status| StatusWrite {
        target: StatusTarget::State,
        name: STATE_NAME.to_owned(),
        status: configuration_state::status_patch(&status),
        event: None,
    });
    pools.chain(advertisements).chain(state).collect()
}

/// A status is plain data, so it can always be written as JSON.
fn to_json(status: &impl Serialize) -> Value {
    serde_json::to_value(status).unwrap_or_default()
}

/// The Services that retain addresses, as text, by the pool that the addresses are from.
fn retained_by_pool(reconciler: &Reconciler) -> BTreeMap<&str, Vec<String>> {
    let mut by_pool: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (key, pool) in reconciler.retained() {
        let addresses: Vec<String> = reconciler.allocator().held(key).iter().map(IpAddr::to_string).collect();
        let text = format!("{key} ({})", addresses.join(", "));
        by_pool.entry(pool).or_default().push(text);
    }
    by_pool
}

/// The status of a pool that the Services in `retained` retain addresses of.
fn pool_status(
    reconciler: &Reconciler,
    object: &IPAddressPool,
    retained: &[String],
    now: Timestamp,
) -> Option<StatusWrite> {
    let current = object.status.clone().unwrap_or_default();
    let mut status = IPAddressPoolStatus {
        conditions: current.conditions.clone(),
        ..IPAddressPoolStatus::default()
    };
    if let Some(pool) = reconciler.config().pools.get(&object.name_any()) {
        count_addresses(pool, reconciler.allocator(), &mut status);
    }
    let kind = ObjectKind::IPAddressPool;
    let mut event = None;
    if let Some(accepted) = accepted(reconciler, kind, object, &status.conditions, now) {
        (status.conditions, event) = (accepted.conditions, accepted.event);
    }
    let has_condition = status.conditions.iter().any(|condition| condition.type_ == RETAINED);
    if has_condition || !retained.is_empty() {
        let wanted = retained_condition(retained, object.metadata.generation);
        if let Some(conditions) = condition::updated(&status.conditions, &wanted, now) {
            status.conditions = conditions;
        }
    }
    let is_changed = object.status.is_none() || status != current;
    is_changed.then(|| StatusWrite {
        target: StatusTarget::Object(kind),
        name: object.name_any(),
        status: to_json(&status),
        event,
    })
}

fn retained_condition(retained: &[String], observed_generation: Option<i64>) -> DesiredCondition {
    let holds = !retained.is_empty();
    let mut services = retained.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if retained.len() > MAX_NAMED {
        services.push_str(&format!(" and {} more", retained.len() - MAX_NAMED));
    }
    DesiredCondition {
        type_: RETAINED,
        holds,
        reason: if holds { "InUse" } else { "NothingRetained" }.to_owned(),
        message: if holds {
            format!("these Services retain addresses that this pool would not give them today: {services}")
        } else {
            "no Service retains an address of this pool".to_owned()
        },
        observed_generation,
    }
}

/// Counts the addresses of the pool in use and those that are free, up to the largest int64.
fn count_addresses(pool: &Pool, allocator: &Allocator, status: &mut IPAddressPoolStatus) {
    let count = |family| {
        let (capacity, used) = (pool.capacity(family), allocator.in_use_of(pool, family));
        let free = capacity.saturating_sub(u128::from(used));
        (
            i64::try_from(used).unwrap_or(i64::MAX),
            i64::try_from(free).unwrap_or(i64::MAX),
        )
    };
    (status.assigned_ipv4, status.available_ipv4) = count(Family::V4);
    (status.assigned_ipv6, status.available_ipv6) = count(Family::V6);
}

fn advertisement_status(reconciler: &Reconciler, object: &L2Advertisement, now: Timestamp) -> Option<StatusWrite> {
    let kind = ObjectKind::L2Advertisement;
    let current = object.status.clone().unwrap_or_default();
    let Accepted { conditions, event } = accepted(reconciler, kind, object, &current.conditions, now)?;
    Some(StatusWrite {
        target: StatusTarget::Object(kind),
        name: object.name_any(),
        status: to_json(&L2AdvertisementStatus { conditions }),
        event,
    })
}

/// A change of the condition Accepted.
struct Accepted {
    /// All conditions of the object.
    conditions: Vec<Condition>,
    /// The event to send, if the object is refused.
    event: Option<ObjectNotice>,
}

/// The change of the condition Accepted; `None` when it is up to date.
fn accepted<K: Resource<DynamicType = ()>>(
    reconciler: &Reconciler,
    kind: ObjectKind,
    object: &K,
    current: &[Condition],
    now: Timestamp,
) -> Option<Accepted> {
    let name = object.name_any();
    let mut refusals = reconciler.config().refused.iter();
    let refusal = refusals.find(|refusal| refusal.kind == kind && refusal.name == name);
    let wanted = DesiredCondition {
        type_: "Accepted",
        holds: refusal.is_none(),
        reason: refusal.map_or("Accepted", |refusal| refusal.reason.as_str()).to_owned(),
        message: refusal.map_or_else(
            || "in use".to_owned(),
            |refusal| format!("not in use: {}", refusal.text()),
        ),
        observed_generation: object.meta().generation,
    };
    let conditions = condition::updated(current, &wanted, now)?;
    let event = refusal.map(|refusal| ObjectNotice {
        object: object.object_ref(&()),
        notice: Notice::refused(refusal.text()),
    });
    Some(Accepted { conditions, event })
}

/// The status of ConfigurationState `controller`; `None` when it is up to date, or not known yet.
fn state_status(reconciler: &Reconciler, now: Timestamp) -> Option<ConfigurationStateStatus> {
    let current = match reconciler.configuration_state() {
        Known::Unknown => return None,
        Known::Absent => None,
        Known::Present(state) => state.status.as_ref(),
    };
    // The name is MetalLB's.
    let wanted = configuration_condition("poolReconcilerValid", &reconciler.config().refused);
    configuration_state::updated_status(current, &[wanted], now)
}

#[cfg(test)]
mod tests;
