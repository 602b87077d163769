//! Warnings about edits that are allowed.

use lodestone_crds::{Config, IPAddressPool, L2Advertisement, config::Pool};

use super::{AdmissionEdit, ClusterView, ConfigurationObject};
use crate::{plan::OnPoolChange, service_view::ServiceView};

/// How many warnings of one sort there are. kubectl prints each on a line.
const MAX_NAMED: usize = 10;

/// The Services that have addresses of the pool before the edit, and would not get them after it.
pub(super) fn left_behind(
    edit: &AdmissionEdit<IPAddressPool>,
    after: &Config,
    cluster: &ClusterView<'_>,
) -> Vec<String> {
    let old = edit.old.as_ref().and_then(|old| cluster.config.pools.get(old.name()));
    let Some(old) = old else {
        return Vec::new();
    };
    let gone = if after.pools.contains_key(&old.name) {
        "which leaves the pool"
    } else {
        "whose pool is deleted"
    };
    let consequence = match cluster.on_pool_change {
        OnPoolChange::Retain => "the Service keeps it, and no other one gets it",
        OnPoolChange::Reassign => "the Service gets another one, if there is one",
    };
    let services = cluster.services.values().filter(|service| service.is_ours);
    let mut warnings: Vec<String> = services
        .flat_map(|service| service.recorded().into_iter().map(move |address| (service, address)))
        .filter(|(_, address)| old.contains(*address))
        .filter_map(|(service, address)| {
            let why = match after.pool_of(address) {
                Some(pool) if is_served(service, pool, cluster) => return None,
                Some(pool) => format!("IPAddressPool {} does not serve it", pool.name),
                None => gone.to_owned(),
            };
            Some(format!("Service {} has {address}, {why}: {consequence}", service.key))
        })
        .collect();
    warnings.sort();
    let more = warnings.len().saturating_sub(MAX_NAMED);
    warnings.truncate(MAX_NAMED);
    if more > 0 {
        warnings.push(format!("and {more} more addresses in use"));
    }
    warnings
}

fn is_served(service: &ServiceView, pool: &Pool, cluster: &ClusterView<'_>) -> bool {
    let namespace = service.key.namespace();
    let labels = cluster.namespaces.get(namespace).cloned().unwrap_or_default();
    pool.serves(namespace, &labels, &service.labels)
}

/// The pools that an advertisement names and that are not in use.
pub(super) fn unknown_pools(edit: &AdmissionEdit<L2Advertisement>, after: &Config) -> Vec<String> {
    let pools = edit.new.iter().flat_map(|new| &new.spec.spec.ip_address_pools);
    pools
        .filter(|name| !after.pools.contains_key(*name))
        .map(|name| format!("there is no IPAddressPool {name} that is in use"))
        .collect()
}
