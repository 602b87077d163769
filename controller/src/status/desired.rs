//! What the statuses of the configuration's objects are to say: whether a pool or an advertisement is in use, how full a pool is, who keeps
//! addresses of it, and in one place (ConfigurationState `controller`) what was refused. Pure but for [`write()`].

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use lodestone_crds::{
    ConfigurationStateStatus, Family, IPAddressPool, IPAddressPoolStatus, L2Advertisement, L2AdvertisementStatus,
    config::{ObjectKind, Pool},
};
use lodestone_daemon::{
    client::answered,
    condition::{self, Wanted},
    configuration_state::{self, Component, configuration_condition},
    events::Note,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{alloc::Allocator, reconciler::Reconciler};

/// The name of the controller's ConfigurationState.
pub const STATE_NAME: &str = "controller";

/// How many Services the message of a condition names.
const NAMED: usize = 10;

/// A kind whose status the controller writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A pool or an advertisement.
    Object(ObjectKind),
    /// The one ConfigurationState of the controller.
    State,
}

/// A status to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusWrite {
    /// Its kind.
    pub target: Target,
    /// Its name.
    pub name: String,
    /// The whole status.
    pub status: Value,
    /// What is to be told when it has been written.
    pub note: Option<(ObjectReference, Note)>,
}

/// The statuses that say something else than what is true now.
#[must_use]
pub fn outdated(core: &Reconciler, now: Timestamp) -> Vec<StatusWrite> {
    let retained = retained(core);
    let pools = core.pools().filter_map(|raw| {
        let kept = retained.get(raw.name_any().as_str()).map_or(&[][..], Vec::as_slice);
        pool(core, raw, kept, now)
    });
    let advertisements = core.l2_advertisements().filter_map(|raw| {
        let current = raw.status.clone().unwrap_or_default();
        let (conditions, note) = accepted(core, ObjectKind::L2Advertisement, raw, &current.conditions, now)?;
        let status = L2AdvertisementStatus { conditions };
        Some(wanted(Target::Object(ObjectKind::L2Advertisement), raw, &status, note))
    });
    let state = state(core, now).map(|status| StatusWrite {
        target: Target::State,
        name: STATE_NAME.to_owned(),
        status: configuration_state::patch(&status),
        note: None,
    });
    pools.chain(advertisements).chain(state).collect()
}

fn wanted<K: Resource>(
    target: Target,
    raw: &K,
    status: &impl Serialize,
    note: Option<(ObjectReference, Note)>,
) -> StatusWrite {
    StatusWrite {
        target,
        name: raw.name_any(),
        status: json(status),
        note,
    }
}

/// A status is plain data: it can always be written as JSON.
fn json(status: &impl Serialize) -> Value {
    serde_json::to_value(status).unwrap_or_default()
}

/// The Services that keep addresses, by the pool that would not give them today.
fn retained(core: &Reconciler) -> BTreeMap<&str, Vec<String>> {
    let mut by_pool: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (key, pool) in core.retained() {
        let addresses: Vec<String> = core.allocator().held(key).iter().map(IpAddr::to_string).collect();
        let text = format!("{key} ({})", addresses.join(", "));
        by_pool.entry(pool).or_default().push(text);
    }
    by_pool
}

fn pool(core: &Reconciler, raw: &IPAddressPool, kept: &[String], now: Timestamp) -> Option<StatusWrite> {
    let current = raw.status.clone().unwrap_or_default();
    let mut status = IPAddressPoolStatus {
        conditions: current.conditions.clone(),
        ..IPAddressPoolStatus::default()
    };
    if let Some(pool) = core.config().pools.get(&raw.name_any()) {
        count(pool, core.allocator(), &mut status);
    }
    let mut told = None;
    if let Some((conditions, note)) = accepted(core, ObjectKind::IPAddressPool, raw, &status.conditions, now) {
        (status.conditions, told) = (conditions, note);
    }
    let is_there = status.conditions.iter().any(|condition| condition.type_ == "Retained");
    if is_there || !kept.is_empty() {
        let mut message = kept.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if kept.len() > NAMED {
            message.push_str(&format!(" and {} more", kept.len() - NAMED));
        }
        let wanted = Wanted {
            type_: "Retained",
            holds: !kept.is_empty(),
            reason: if kept.is_empty() { "NothingRetained" } else { "InUse" }.to_owned(),
            message: if kept.is_empty() {
                "no Service keeps an address that this pool would not give it".to_owned()
            } else {
                format!("these Services keep addresses that this pool would not give them today: {message}")
            },
            observed_generation: raw.meta().generation,
        };
        if let Some(conditions) = condition::with(&status.conditions, &wanted, now) {
            status.conditions = conditions;
        }
    }
    let changed = raw.status.is_none() || status != current;
    changed.then(|| wanted(Target::Object(ObjectKind::IPAddressPool), raw, &status, told))
}

/// How many addresses of the pool are in use and how many are free, as far as an int64 reaches.
fn count(pool: &Pool, allocator: &Allocator, status: &mut IPAddressPoolStatus) {
    let of = |family| {
        let (capacity, used) = (pool.capacity(family), allocator.in_use_of(pool, family));
        let free = capacity.saturating_sub(u128::from(used));
        (
            i64::try_from(used).unwrap_or(i64::MAX),
            i64::try_from(free).unwrap_or(i64::MAX),
        )
    };
    (status.assigned_ipv4, status.available_ipv4) = of(Family::V4);
    (status.assigned_ipv6, status.available_ipv6) = of(Family::V6);
}

/// The conditions with Accepted as it is now, and what is to be told; `None` when it says so already.
#[expect(clippy::type_complexity, reason = "a pair that is taken apart at once")]
fn accepted<K: Resource<DynamicType = ()>>(
    core: &Reconciler,
    kind: ObjectKind,
    raw: &K,
    current: &[Condition],
    now: Timestamp,
) -> Option<(Vec<Condition>, Option<(ObjectReference, Note)>)> {
    let refusal = core
        .config()
        .refused
        .iter()
        .find(|refusal| refusal.kind == kind && refusal.name == raw.name_any());
    let wanted = Wanted {
        type_: "Accepted",
        holds: refusal.is_none(),
        reason: refusal.map_or_else(|| "Accepted".to_owned(), |refusal| refusal.reason.to_string()),
        message: refusal.map_or_else(
            || "in use".to_owned(),
            |refusal| format!("not in use: {}", refusal.text()),
        ),
        observed_generation: raw.meta().generation,
    };
    let conditions = condition::with(current, &wanted, now)?;
    let note = refusal.map(|refusal| {
        let note = Note {
            warning: true,
            reason: "Refused",
            text: refusal.text(),
        };
        (raw.object_ref(&()), note)
    });
    Some((conditions, note))
}

/// What ConfigurationState `controller` is to say; `None` when it says so already.
fn state(core: &Reconciler, now: Timestamp) -> Option<ConfigurationStateStatus> {
    let current = core.state()?.and_then(|state| state.status.clone());
    let refused = &core.config().refused;
    // The name is MetalLB's.
    let wanted = configuration_condition("poolReconcilerValid", refused);
    configuration_state::status(current.as_ref(), &[wanted], now)
}

/// Writes a status. The ConfigurationState is made where there is none, owned by `owner`, so that it goes with Lodestone.
///
/// # Errors
/// When the API server refuses.
pub async fn write(
    client: &Client,
    namespace: &str,
    owner: Option<&OwnerReference>,
    write: &StatusWrite,
) -> Result<(), kube::Error> {
    let answer = match write.target {
        Target::Object(ObjectKind::IPAddressPool) => patch::<IPAddressPool>(client, namespace, write).await,
        Target::Object(ObjectKind::L2Advertisement) => patch::<L2Advertisement>(client, namespace, write).await,
        Target::State => {
            let component = Component {
                name: write.name.clone(),
                labels: [("metallb.io/component-type".to_owned(), "controller".to_owned())].into(),
                owner: owner.cloned(),
            };
            configuration_state::write(client, namespace, &component, &write.status).await
        }
    };
    match answer {
        // It went away meanwhile.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        answer => answer,
    }
}

async fn patch<K>(client: &Client, namespace: &str, write: &StatusWrite) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({"status": write.status}));
    answered(api.patch_status(&write.name, &PatchParams::default(), &patch))
        .await
        .map(|_| ())
}

#[cfg(test)]
mod tests;
