//! What is to be said to a user who is about to change the configuration. Pure.

use std::collections::{HashMap, HashSet};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{LabelSelector, Time},
    jiff::Timestamp,
};
use kube::{Resource, ResourceExt};
use lodestone_crds::{
    Config, IPAddressPool, L2Advertisement, Labels, Refusal, Resources,
    config::{ObjectKind, Pool},
};
use lodestone_daemon::ObjectKey;

use crate::{plan::OnPoolChange, service_view::ServiceView};

/// How many warnings there are of one sort; kubectl shows each on a line.
const NAMED: usize = 10;

/// What a user is about to do with one object; without `new` it is deleted.
#[derive(Clone, Debug)]
pub struct Change<K> {
    /// The object as it is.
    pub old: Option<K>,
    /// The object as it is to be.
    pub new: Option<K>,
}

impl<K> Change<K> {
    /// Whether a part of the object is there before and after, and the same.
    fn keeps<T: PartialEq>(&self, part: impl Fn(&K) -> &T) -> bool {
        matches!((&self.old, &self.new), (Some(old), Some(new)) if part(old) == part(new))
    }
}

/// What a user is about to do.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Something with a pool.
    Pool(Change<IPAddressPool>),
    /// Something with an advertisement.
    L2Advertisement(Change<L2Advertisement>),
}

/// Everything that the answer is made from.
#[derive(Debug)]
pub struct Known<'a> {
    /// All objects as they are.
    pub resources: &'a Resources,
    /// The configuration in force.
    pub config: &'a Config,
    /// All Services.
    pub services: &'a HashMap<ObjectKey, ServiceView>,
    /// The labels of all namespaces.
    pub namespaces: &'a HashMap<String, Labels>,
    /// What becomes of addresses whose pool goes away.
    pub on_pool_change: OnPoolChange,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it is refused, if it is.
    pub denied: Option<String>,
    /// What the user should know, a line each.
    pub warnings: Vec<String>,
}

impl Verdict {
    /// Refused, for this reason.
    #[must_use]
    pub const fn denied(why: String) -> Self {
        Self {
            denied: Some(why),
            warnings: Vec::new(),
        }
    }
}

/// What is to be said about an edit.
#[must_use]
pub fn review(edit: &Edit, known: &Known<'_>) -> Verdict {
    let same = match edit {
        Edit::Pool(change) => change.keeps(|pool| &pool.spec),
        Edit::L2Advertisement(change) => change.keeps(|advertisement| &advertisement.spec),
    };
    if same {
        // Labels, annotations, finalizers: nothing of that can be wrong, and whoever deletes a refused object must be able to.
        return Verdict::default();
    }
    let mut resources = known.resources.clone();
    let (kind, name) = match edit {
        Edit::Pool(change) => (ObjectKind::IPAddressPool, put(&mut resources.pools, change)),
        Edit::L2Advertisement(change) => (
            ObjectKind::L2Advertisement,
            put(&mut resources.l2_advertisements, change),
        ),
    };
    resources
        .undecodable
        .retain(|refusal| (refusal.kind, &refusal.name) != (kind, &name));
    let config = Config::build(&resources);
    let repeated = match edit {
        Edit::Pool(change) => change.new.as_ref().and_then(repeated_in_pool),
        Edit::L2Advertisement(change) => change.new.as_ref().and_then(repeated_in_l2),
    };
    if let Some(text) = repeated {
        return Verdict::denied(format!("{kind} {name}: {text}"));
    }
    // What is refused already is no reason to refuse the edit of another object, whatever it is refused for afterwards.
    let place = |refusal: &Refusal| (refusal.kind, refusal.name.clone());
    let refused: HashSet<_> = known.config.refused.iter().map(place).collect();
    let is_new = |refusal: &&Refusal| !refused.contains(&place(refusal));
    let own = |refusal: &&Refusal| (refusal.kind, &refusal.name) == (kind, &name);
    if let Some(refusal) = config.refused.iter().find(own) {
        return Verdict::denied(refusal.to_string());
    }
    let deletes = match edit {
        Edit::Pool(change) => change.new.is_none(),
        Edit::L2Advertisement(change) => change.new.is_none(),
    };
    if let Some(refusal) = config.refused.iter().find(is_new).filter(|_| !deletes) {
        return Verdict::denied(format!("this would put another object out of use: {refusal}"));
    }
    let warnings = match edit {
        Edit::Pool(change) => left_behind(change, &config, known),
        Edit::L2Advertisement(change) => unknown_pools(change, &config),
    };
    Verdict { denied: None, warnings }
}

/// Puts the object in the place of the one of its name, and gives back that name.
fn put<K: Resource<DynamicType = ()> + Clone>(objects: &mut Vec<K>, change: &Change<K>) -> String {
    let name = change
        .new
        .as_ref()
        .or(change.old.as_ref())
        .map(ResourceExt::name_any)
        .unwrap_or_default();
    objects.retain(|object| object.name_any() != name);
    if let Some(mut new) = change.new.clone() {
        // It may not have a time of birth yet; it is younger than all others.
        new.meta_mut().creation_timestamp.get_or_insert(Time(Timestamp::MAX));
        objects.push(new);
    }
    name
}

/// The Services that have addresses of the pool as it was, and would not be given them by the pool as it is to be.
fn left_behind(change: &Change<IPAddressPool>, config: &Config, known: &Known<'_>) -> Vec<String> {
    let Some(old) = change
        .old
        .as_ref()
        .and_then(|old| known.config.pools.get(&old.name_any()))
    else {
        return vec![];
    };
    let new = config.pools.get(&old.name);
    let stays = |service: &ServiceView, pool: &Pool| {
        let labels = known
            .namespaces
            .get(&service.key.namespace)
            .cloned()
            .unwrap_or_default();
        pool.serves(&service.key.namespace, &labels, &service.labels)
    };
    let mut left: Vec<String> = known
        .services
        .values()
        .filter(|service| service.served)
        .flat_map(|service| service.recorded().into_iter().map(move |address| (service, address)))
        .filter(|(_, address)| old.contains(*address))
        .filter_map(|(service, address)| {
            let why = match config.pool_of(address) {
                Some(pool) if stays(service, pool) => return None,
                Some(pool) => format!("IPAddressPool {} does not serve it", pool.name),
                None if new.is_some() => "which leaves the pool".to_owned(),
                None => "whose pool is deleted".to_owned(),
            };
            let then = match known.on_pool_change {
                OnPoolChange::Retain => "the Service keeps it, and no other one gets it",
                OnPoolChange::Reassign => "the Service gets another one, if there is one",
            };
            Some(format!("Service {} has {address}, {why}: {then}", service.key))
        })
        .collect();
    left.sort();
    let more = left.len().saturating_sub(NAMED);
    left.truncate(NAMED);
    if more > 0 {
        left.push(format!("and {more} more addresses in use"));
    }
    left
}

fn unknown_pools(change: &Change<L2Advertisement>, config: &Config) -> Vec<String> {
    let pools = change.new.iter().flat_map(|new| &new.spec.spec.ip_address_pools);
    pools
        .filter(|name| !config.pools.contains_key(*name))
        .map(|name| format!("there is no IPAddressPool {name} that is in use"))
        .collect()
}

/// What stands in a pool twice, which says that something else was meant.
fn repeated_in_pool(pool: &IPAddressPool) -> Option<String> {
    let allocation = pool.spec.service_allocation.as_ref()?;
    let field = |name: &str| format!("spec.serviceAllocation.{name}");
    repeated(&field("namespaces"), &allocation.namespaces)
        .or_else(|| repeated_selectors(&field("namespaceSelectors"), &allocation.namespace_selectors))
        .or_else(|| repeated_selectors(&field("serviceSelectors"), &allocation.service_selectors))
}

fn repeated_in_l2(advertisement: &L2Advertisement) -> Option<String> {
    let spec = &advertisement.spec.spec;
    repeated("spec.ipAddressPools", &spec.ip_address_pools)
        .or_else(|| repeated_selectors("spec.ipAddressPoolSelectors", &spec.ip_address_pool_selectors))
        .or_else(|| repeated_selectors("spec.nodeSelectors", &spec.node_selectors))
        .or_else(|| repeated_selectors("spec.serviceSelectors", &spec.service_selectors))
}

fn repeated_selectors(field: &str, selectors: &[LabelSelector]) -> Option<String> {
    let inside = selectors.iter().enumerate().find_map(|(index, selector)| {
        let field = format!("{field}[{index}].matchExpressions");
        let expressions = selector.match_expressions.as_deref().unwrap_or_default();
        let values = expressions.iter().enumerate().find_map(|(index, expression)| {
            let values = expression.values.as_deref().unwrap_or_default();
            repeated(&format!("{field}[{index}].values"), values)
        });
        repeated(&field, expressions).or(values)
    });
    repeated(field, selectors).or(inside)
}

fn repeated<T: PartialEq>(field: &str, items: &[T]) -> Option<String> {
    let (index, earlier) = items.iter().enumerate().find_map(|(index, item)| {
        let earlier = items.iter().take(index).position(|earlier| earlier == item)?;
        Some((index, earlier))
    })?;
    Some(format!("{field}[{index}]: the same as [{earlier}]"))
}

#[cfg(test)]
mod tests;
