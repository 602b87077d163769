//! What the status of a pool or of an advertisement is to say. Pure but for the last function, which writes it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use lodestone_crds::{
    Family, IPAddressPool, IPAddressPoolStatus, L2Advertisement, L2AdvertisementStatus,
    config::{ObjectKind, Pool},
};
use lodestone_daemon::condition::{self, Wanted};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{alloc::Allocator, core::Core};

/// A status to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusWrite {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
    /// The whole status.
    pub status: Value,
}

/// The statuses that say something else than what is true now.
#[must_use]
pub fn outdated(core: &Core, now: Timestamp) -> Vec<StatusWrite> {
    let pools = core.pools().filter_map(|raw| {
        let current = raw.status.clone().unwrap_or_default();
        let mut status = IPAddressPoolStatus {
            conditions: current.conditions.clone(),
            ..IPAddressPoolStatus::default()
        };
        if let Some(pool) = core.config().pools.get(&raw.name_any()) {
            count(pool, core.allocator(), &mut status);
        }
        if let Some(conditions) = accepted(core, ObjectKind::IPAddressPool, raw, &current.conditions, now) {
            status.conditions = conditions;
        }
        changed(
            ObjectKind::IPAddressPool,
            raw,
            raw.status.is_none() || status != current,
            &status,
        )
    });
    let advertisements = core.l2_advertisements().filter_map(|raw| {
        let current = raw.status.clone().unwrap_or_default();
        let conditions = accepted(core, ObjectKind::L2Advertisement, raw, &current.conditions, now)?;
        changed(
            ObjectKind::L2Advertisement,
            raw,
            true,
            &L2AdvertisementStatus { conditions },
        )
    });
    pools.chain(advertisements).collect()
}

fn changed<K: Resource>(kind: ObjectKind, raw: &K, changed: bool, status: &impl Serialize) -> Option<StatusWrite> {
    let name = raw.name_any();
    // A status is plain data: it can always be written as JSON.
    changed.then(|| StatusWrite {
        kind,
        name,
        status: serde_json::to_value(status).unwrap_or_default(),
    })
}

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

fn accepted<K: Resource>(
    core: &Core,
    kind: ObjectKind,
    raw: &K,
    current: &[Condition],
    now: Timestamp,
) -> Option<Vec<Condition>> {
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
    condition::with(current, &wanted, now)
}

/// Writes a status.
///
/// # Errors
/// When the API server refuses.
pub async fn write(client: &Client, namespace: &str, write: &StatusWrite) -> Result<(), kube::Error> {
    match write.kind {
        ObjectKind::IPAddressPool => patch::<IPAddressPool>(client, namespace, write).await,
        ObjectKind::L2Advertisement => patch::<L2Advertisement>(client, namespace, write).await,
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
    match api.patch_status(&write.name, &PatchParams::default(), &patch).await {
        // It went away meanwhile.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        answer => answer.map(|_| ()),
    }
}
